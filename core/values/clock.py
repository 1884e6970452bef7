"""Time as an argument: wall clock for people and expiries, monotonic for durations."""

import asyncio
import re
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the core knows of time; tests hand in their own."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations and leases."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait this long."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait this long."""
        await asyncio.sleep(seconds)


# Stricter than datetime's own reader, which also takes weeks, blanks and times without seconds.
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])(?:\.[0-9]+)?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


def rfc3339(at_ms: int) -> str:
    """A moment as RFC 3339 in UTC with milliseconds, for example `2026-11-24T08:22:02.000Z`."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


def unix_s(moment: str) -> int:
    """The Unix second in which a moment lies that RFC 3339 writes. Raises ValueError."""
    match = _MOMENT.fullmatch(moment)
    if match is None:
        raise ValueError(moment)
    date, time_of_day, zone = match.groups()
    at = datetime.fromisoformat(f"{date}T{time_of_day}{zone.upper().replace('Z', '+00:00')}")
    return int(at.timestamp())
