"""The bulletin: who waits for a change is woken by the commit that made it.

Topics are ids of jobs and sessions, and the names of the loops. Nothing is remembered: a listener
first subscribes, then reads the books, then waits, so that no change falls in between.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class News:
    """One listener's flag: raised by a commit, lowered by waiting."""

    def __init__(self) -> None:
        self._raised = asyncio.Event()

    def raise_flag(self) -> None:
        """Something was committed on this topic."""
        self._raised.set()

    async def wait(self, timeout_s: float | None) -> bool:
        """Wait for the next change; False when the time was over first. None is no limit."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._raised.wait()
        except TimeoutError:
            return False
        self._raised.clear()
        return True

    async def wait_beside(self, other: asyncio.Event, timeout_s: float | None) -> None:
        """Wait for the next change, for this event, or until the time is over."""
        heard = [
            asyncio.ensure_future(self.wait(timeout_s)),
            asyncio.ensure_future(other.wait()),
        ]
        try:
            await asyncio.wait(heard, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in heard:
                waiter.cancel()


class Bulletin:
    """All listeners of one process."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[News]] = defaultdict(set)

    @contextmanager
    def listen(self, topic: str) -> Iterator[News]:
        """Hear of every commit that announces `topic` while the block runs."""
        news = News()
        self._listeners[topic].add(news)
        try:
            yield news
        finally:
            listeners = self._listeners[topic]
            listeners.discard(news)
            if not listeners:
                del self._listeners[topic]

    def wake_all(self) -> None:
        """Wake everybody: something may have been announced that was not heard."""
        self.post(list(self._listeners))

    def post(self, topics: Iterable[str]) -> None:
        """Wake everybody who listens to one of these topics."""
        for topic in topics:
            for news in self._listeners.get(topic, ()):
                news.raise_flag()
