"""A gate: a proxy on loopback between two programs that can hold a request or an answer.

    held = gate.hold_request(b"POST /v1/chat/completions", b"my words")     # the next such request
    await held.reached()     # it has come whole, and the other side knows nothing of it
    held.let_go()            # or kill one side, and it never gets there

It relays bytes and reads of HTTP only where a request ends, so that streams and websockets pass.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

REACH_S = 20
_CHUNK_BYTES = 64 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade: *websocket\r\n", re.IGNORECASE)


@dataclass(eq=False)
class Held:
    """The next request (or the answer to it) that holds all of `words`, at its chunk with `at`."""

    words: tuple[bytes, ...]
    at: bytes = b""
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _may_pass: asyncio.Event = field(default_factory=asyncio.Event)
    _passed: asyncio.Event = field(default_factory=asyncio.Event)
    _is_cut: bool = False

    async def reached(self) -> None:
        """Wait until it stands at the gate."""
        async with asyncio.timeout(REACH_S):
            await self._arrived.wait()

    def let_go(self) -> None:
        self._may_pass.set()

    def cut(self) -> None:
        """It gets no further, and its connection is closed."""
        self._is_cut = True
        self._may_pass.set()

    async def passed(self) -> None:
        """Wait until the other side's system has it."""
        async with asyncio.timeout(REACH_S):
            await self._passed.wait()

    def is_meant(self, request: bytes) -> bool:
        return all(word in request for word in self.words)

    async def stop(self) -> None:
        """Stand at the gate until it may pass."""
        self._arrived.set()
        await self._may_pass.wait()
        if self._is_cut:
            raise ConnectionResetError

    def note_passed(self) -> None:
        self._passed.set()


class Gate:
    """Relays connections to `upstream()`, which is asked for each of them."""

    def __init__(self, upstream: Callable[[], str]) -> None:
        self._upstream = upstream
        self._requests: list[Held] = []
        self._answers: list[Held] = []
        self._relays: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def hold_request(self, *words: bytes) -> Held:
        """Hold the next request with these words in head or body before it is handed on."""
        self._requests.append(Held(words))
        return self._requests[-1]

    def hold_answer(self, *words: bytes, at: bytes = b"") -> Held:
        """Hand the next such request on, and hold its answer from the chunk with `at`."""
        self._answers.append(Held(words, at))
        return self._answers[-1]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.create_task(self._relay(reader, writer))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = urlsplit(self._upstream())
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            up_reader, up_writer = await asyncio.open_connection(place.hostname, place.port)
            with contextlib.closing(up_writer):
                wanted: list[Held] = []
                ways = [
                    asyncio.create_task(self._forth(reader, up_writer, wanted)),
                    asyncio.create_task(_back(up_reader, writer, wanted)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    async def _forth(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wanted: list[Held]
    ) -> None:
        """Hand requests on; those whose answers are to be held are put into `wanted`."""
        while True:
            request = await _next_request(reader)
            held = _taken(self._requests, request)
            if held is not None:
                await held.stop()
            answer = _taken(self._answers, request)
            if answer is not None:
                wanted.append(answer)
            writer.write(request)
            await writer.drain()
            if held is not None:
                held.note_passed()
            if _UPGRADE.search(request):
                break
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()


async def _next_request(reader: asyncio.StreamReader) -> bytes:
    """The next whole request, whose body has its length in the head."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        raise ConnectionResetError from None
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


async def _back(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wanted: list[Held]
) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        held = wanted.pop(0) if wanted and wanted[0].at in data else None
        if held is not None:
            await held.stop()
        writer.write(data)
        await writer.drain()
        if held is not None:
            held.note_passed()


def _taken(waiting: list[Held], request: bytes) -> Held | None:
    """The first that means this request, which is thereby used up."""
    for held in waiting:
        if held.is_meant(request):
            waiting.remove(held)
            return held
    return None
