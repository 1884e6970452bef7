"""A clock that only the test moves."""

import asyncio

START_MS = 1_800_000_000_000


class HandClock:
    """Stands still; whoever sleeps is woken when `advance` has passed the end of the sleep."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now_ms(self) -> int:
        return START_MS + round(self._seconds * 1000)

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        self._sleepers.append((self._seconds + seconds, over))
        await over.wait()

    def advance(self, seconds: float) -> None:
        self._seconds += seconds
        for until, over in self._sleepers:
            if until <= self._seconds:
                over.set()
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].is_set()]
