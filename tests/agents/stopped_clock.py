"""A clock that stands at noon of Christmas Eve 2026 and counts how often it is asked."""

CHRISTMAS_EVE_MS = 1_798_113_600_000  # 2026-12-24T12:00:00Z


class StoppedClock:
    """Always the same moment."""

    def __init__(self) -> None:
        self.reads = 0

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        self.reads += 1
        return CHRISTMAS_EVE_MS

    def monotonic(self) -> float:
        """The same moment."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Nobody waits here."""
        raise AssertionError(seconds)
