"""The client of the bench: one request over and over, or some in turn, by many callers at once.

It writes bytes made beforehand and reads an answer up to its Content-Length, on asyncio's bare
protocols, so that it needs a tenth of what the servers need and is never what bounds them.
"""

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

WARM_UP_S = 0.2


@dataclass(frozen=True, slots=True)
class Load:
    """What some seconds of asking came to."""

    per_s: float
    p50_ms: float
    p99_ms: float
    server_us: float
    """CPU time of the server for each request, all its threads together."""

    @classmethod
    def median_of(cls, loads: list[Self]) -> Self:
        """Each figure's median."""
        return cls(
            *(
                statistics.median(getattr(load, name) for load in loads)
                for name in ("per_s", "p50_ms", "p99_ms", "server_us")
            )
        )


class Caller(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, requests: Iterator[bytes], status: bytes) -> None:
        self.times: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._status = b"HTTP/1.1 " + status
        self._received = b""
        self._is_last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Ask again when the answer is whole."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        if not head.startswith(self._status):
            self.ended.set_exception(AssertionError(self._received.decode()))
            return
        self.times.append(time.perf_counter() - self._asked_at)
        if self._is_last:
            self._transport.close()
            self.ended.set_result(None)
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that it was not we who hung up."""
        if not self.ended.done():
            self.ended.set_exception(exc or AssertionError("the server hung up"))

    def finish(self) -> None:
        """Let the answer that is awaited be the last."""
        self._is_last = True

    def _ask(self) -> None:
        self._received = b""
        self._asked_at = time.perf_counter()
        self._transport.write(next(self._requests))


def post(path: str, body: bytes, **headers: str) -> bytes:
    """The bytes of a POST; an underscore in a header's name is a hyphen."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += ["Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def load(
    url: str,
    request: bytes | Sequence[bytes],
    *,
    pid: int,
    callers: int,
    seconds: float,
    status: int = 200,
) -> Load:
    """Ask for some seconds; `pid` is the server's. Raises AssertionError at another status."""
    requests = itertools.cycle([request] if isinstance(request, bytes) else request)
    host, _, port = urlsplit(url).netloc.partition(":")
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(
            lambda: Caller(requests, str(status).encode()), host, int(port)
        )
        for _ in range(callers)
    ]
    asking = [caller for _, caller in made]
    await _while_nobody_fails(asking, WARM_UP_S)
    for caller in asking:
        caller.times.clear()
    began_at, began_cpu_s = time.perf_counter(), cpu_s(pid)
    await _while_nobody_fails(asking, seconds)
    took_s, used_s = time.perf_counter() - began_at, cpu_s(pid) - began_cpu_s
    times = sorted(each for caller in asking for each in caller.times)
    for caller in asking:
        caller.finish()
    await asyncio.gather(*(caller.ended for caller in asking))
    return Load(
        per_s=len(times) / took_s,
        p50_ms=times[len(times) // 2] * 1e3,
        p99_ms=times[len(times) * 99 // 100] * 1e3,
        server_us=used_s / len(times) * 1e6,
    )


async def _while_nobody_fails(asking: list[Caller], seconds: float) -> None:
    failed, _ = await asyncio.wait(
        [caller.ended for caller in asking],
        timeout=seconds,
        return_when=asyncio.FIRST_COMPLETED,
    )
    for each in failed:
        each.result()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise AssertionError(f"the answer does not say how long it is: {head.decode()}")


def cpu_s(pid: int) -> float:
    """The CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
