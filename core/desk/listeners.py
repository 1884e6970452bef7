"""Who takes the events of a stream: the customer's connection, or a tape that is kept."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol


class HungUp(Exception):
    """Nobody listens to the stream any more."""


class Listener(Protocol):
    """One end of a stream."""

    @property
    def is_gone(self) -> bool:
        """Whether nobody is there any more."""
        ...

    @property
    def has_begun(self) -> bool:
        """Whether anything was sent."""
        ...

    async def send(self, events: bytes) -> None:
        """Take whole events. Raises HungUp."""
        ...


@dataclass(eq=False)
class Tape:
    """A stream that is written down whole, and may be followed while it is written."""

    events: bytearray = field(default_factory=bytearray)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_gone(self) -> bool:
        """A tape always listens."""
        return False

    @property
    def has_begun(self) -> bool:
        """Whether anything was written."""
        return bool(self.events)

    async def send(self, events: bytes) -> None:
        """Write down whole events."""
        self.events += events
        self._news.set()

    async def follow(self, writing: asyncio.Task[None]) -> AsyncIterator[bytes]:
        """The events as `writing` writes them. Raises what it raises."""
        writing.add_done_callback(lambda _: self._news.set())
        at = 0
        while not writing.done() or at < len(self.events):
            await self._news.wait()
            self._news.clear()
            events = bytes(self.events[at:])
            at += len(events)
            if events:
                yield events
        writing.result()
