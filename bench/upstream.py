"""A model upstream that costs nearly nothing: canned bytes on asyncio's bare protocols.

The model's name says how it behaves: `d50` waits 50 ms first, `c512` streams 512 chunks, `i20` one
chunk in 20 ms. `python -m bench.upstream` serves on a free port and says on which.
"""

import asyncio
import json
import re
import signal
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import uvloop

TEXT = ("The quick brown fox jumps over the lazy dog. " * 12).strip()
USAGE = {"prompt_tokens": 42, "completion_tokens": 128, "total_tokens": 170}
_MODEL = re.compile(rb'"model": ?"([^"]+)"')
_STREAM = re.compile(rb'"stream": ?true')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Script:
    """What one model answers."""

    delay_s: float
    chunks: int
    every_s: float
    plain: bytes
    head: bytes
    chunk: bytes
    end: bytes


@lru_cache
def script_of(model: str) -> Script:
    """The script that a model's name spells."""
    number = {kind: int(text) for kind, text in re.findall(r"-([dci])(\d+)", model)}
    head = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": model}
    message = {"role": "assistant", "content": TEXT}
    whole = json.dumps(
        {
            **head,
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    ).encode()

    def chunk(choices: list[Any], **more: Any) -> bytes:
        value = {**head, "object": "chat.completion.chunk", "choices": choices, **more}
        return _chunked(b"data: " + json.dumps(value).encode() + b"\n\n")

    word = {"index": 0, "delta": {"content": " token"}, "finish_reason": None}
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return Script(
        delay_s=number.get("d", 0) / 1000,
        chunks=number.get("c", 64),
        every_s=number.get("i", 0) / 1000,
        plain=_answer(b"application/json", b"Content-Length: %d" % len(whole)) + whole,
        head=_answer(b"text/event-stream", b"Transfer-Encoding: chunked"),
        chunk=chunk([word]),
        end=chunk([last]) + chunk([], usage=USAGE) + _chunked(b"data: [DONE]\n\n") + _chunked(b""),
    )


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._received = b""
        self._streams: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to answer on."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Stop what is streamed to nobody."""
        for stream in self._streams:
            stream.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer a request as soon as it is whole."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not separator or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        model = _MODEL.search(body)
        script = script_of(model[1].decode() if model else "mock")
        if _STREAM.search(body):
            stream = asyncio.get_running_loop().create_task(self._stream(script))
            self._streams.add(stream)
            stream.add_done_callback(self._streams.discard)
        elif script.delay_s:
            asyncio.get_running_loop().call_later(
                script.delay_s, self._transport.write, script.plain
            )
        else:
            self._transport.write(script.plain)

    async def _stream(self, script: Script) -> None:
        await asyncio.sleep(script.delay_s)
        self._transport.write(script.head)
        for _ in range(script.chunks):
            self._transport.write(script.chunk)
            await asyncio.sleep(script.every_s)
        self._transport.write(script.end)


def _answer(media_type: bytes, *fields: bytes) -> bytes:
    lines = (b"HTTP/1.1 200 OK", b"Content-Type: " + media_type, *fields)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve() -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve())
