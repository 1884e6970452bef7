"""Many streams at once: time to the first event, events a second, CPU and memory of the server."""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from bench.load import cpu_s

END = b"0\r\n\r\n"
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Streamed:
    """What some streams came to; `grown_mib` is what the server took on meanwhile."""

    events_per_s: float
    first_ms: float
    event_us: float
    grown_mib: float


class Stream(asyncio.Protocol):
    """One connection that asks for some streams, one after another."""

    def __init__(self, requests: Iterator[bytes], times: int) -> None:
        self.events = 0
        self.first_s: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._left = times
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count, until the stream ends."""
        events = data.count(b"data: ")
        if events and not self._has_begun:
            self._has_begun = True
            self.first_s.append(time.perf_counter() - self._asked_at)
        self.events += events
        self._tail = (self._tail + data)[-len(END) :]
        if self._tail == END:
            self._left -= 1
            if self._left:
                self._ask()
            else:
                self._transport.close()
                self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that it was not we who hung up."""
        if not self.ended.done():
            self.ended.set_exception(exc or AssertionError("the server hung up"))

    def _ask(self) -> None:
        self._has_begun = False
        self._tail = b""
        self._asked_at = time.perf_counter()
        self._transport.write(next(self._requests))


async def stream(
    url: str, requests: Sequence[bytes], *, pid: int, streams: int, times: int = 1
) -> Streamed:
    """Follow so many streams at once, each place `times` in a row."""
    host, _, port = urlsplit(url).netloc.partition(":")
    loop, turns = asyncio.get_running_loop(), cycle(requests)
    before_mib, before_s, began_at = _rss_mib(pid), cpu_s(pid), time.perf_counter()
    made = [
        await loop.create_connection(lambda: Stream(turns, times), host, int(port))
        for _ in range(streams)
    ]
    following = [one for _, one in made]
    peak = asyncio.ensure_future(_peak_mib(pid, following))
    await asyncio.gather(*(one.ended for one in following))
    took_s, used_s = time.perf_counter() - began_at, cpu_s(pid) - before_s
    events = sum(one.events for one in following)
    return Streamed(
        events_per_s=events / took_s,
        first_ms=statistics.median(each for one in following for each in one.first_s) * 1e3,
        event_us=used_s / events * 1e6,
        grown_mib=await peak - before_mib,
    )


async def _peak_mib(pid: int, following: Sequence[Stream]) -> float:
    peak = 0.0
    while not all(one.ended.done() for one in following):
        peak = max(peak, _rss_mib(pid))
        await asyncio.sleep(0.1)
    return peak


def _rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / MIB
