"""A clock that only the test moves."""

import asyncio

START_MS = 1_800_000_000_000
PATIENCE_S = 30.0


class HandClock:
    """Stands still; whoever sleeps is woken when `advance` has passed the end of the sleep."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._jumped_ms = 0
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self._one_more = asyncio.Event()

    def now_ms(self) -> int:
        return START_MS + self._jumped_ms + round(self._seconds * 1000)

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        sleeper = (self._seconds + seconds, asyncio.Event())
        self._sleepers.append(sleeper)
        self._one_more.set()
        try:
            await sleeper[1].wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        self._seconds += seconds
        for until, over in self._sleepers:
            if until <= self._seconds:
                over.set()
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].is_set()]

    async def pass_time(self, seconds: float) -> None:
        """Advance, and wait until everybody who was woken by it sleeps again."""
        sleepers = len(self._sleepers)
        self.advance(seconds)
        await self.rest(sleepers)

    async def rest(self, sleepers: int) -> None:
        """Wait until so many sleep."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self._sleepers) < sleepers:
                self._one_more.clear()
                await self._one_more.wait()

    def jump(self, by_ms: int) -> None:
        """Set the wall clock to another time; the monotonic one does not notice."""
        self._jumped_ms += by_ms
