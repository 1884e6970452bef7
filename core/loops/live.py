"""Live text: the work of an agent while it is being done, for whoever watches at this moment.

Nothing is kept and nothing is replayed; the result stands in the books when the job is complete.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

WAITING_MAX = 1_000  # a watcher that reads more slowly than this loses the oldest pieces


@dataclass(frozen=True, slots=True)
class WorkDelta:
    """A piece of an attempt's text; `offset` counts characters from the attempt's start."""

    attempt: int
    offset: int
    text: str


class Watcher:
    """One watcher's pieces, oldest first."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[WorkDelta] = asyncio.Queue(WAITING_MAX)

    def offer(self, piece: WorkDelta) -> None:
        """Hand over a piece, in place of the oldest where the watcher is too slow."""
        if self._pieces.full():
            self._pieces.get_nowait()
        self._pieces.put_nowait(piece)

    async def next(self) -> WorkDelta:
        """The next piece."""
        return await self._pieces.get()

    def pending(self) -> Iterator[WorkDelta]:
        """The pieces that are there already."""
        while not self._pieces.empty():
            yield self._pieces.get_nowait()


class Live:
    """Who watches which job in this process."""

    def __init__(self) -> None:
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Watcher]:
        """See the pieces of a job that are made while the block runs."""
        watcher = Watcher()
        self._watchers[job_id].add(watcher)
        try:
            yield watcher
        finally:
            watchers = self._watchers[job_id]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[job_id]

    def publish(self, job_id: str, piece: WorkDelta) -> None:
        """Show a piece to whoever watches."""
        for watcher in self._watchers.get(job_id, ()):
            watcher.offer(piece)
