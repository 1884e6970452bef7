"""A token bucket with a reserve: how often somebody else may be called, and who goes first.

No window of 60 s sees more than `per_minute` takings, whatever happened before it: the bucket
holds `burst` tokens and refills so slowly that a full one and a minute's refill are `per_minute`.
The last `reserve` tokens are for those who must not wait behind routine.
"""

import asyncio

from core.values.clock import Clock

_MINUTE_S = 60.0
_ROUNDING = 1e-9  # a wait of less is no wait, but what floats leave over


class TokenBucket:
    """Hands out turns; callers of one kind are served in the order in which they came."""

    def __init__(self, *, clock: Clock, per_minute: int, burst: int, reserve: int) -> None:
        assert 0 <= reserve < burst < per_minute
        self._clock = clock
        self._burst = burst
        self._reserve = reserve
        self._per_s = (per_minute - burst) / _MINUTE_S
        self._tokens = float(burst)
        self._counted_at = clock.monotonic()
        self._closed_until = self._counted_at
        self._routine = asyncio.Lock()
        self._first = asyncio.Lock()

    async def take(self) -> None:
        """Wait for a turn that leaves the reserve alone."""
        await self._take(self._routine, self._reserve + 1)

    async def take_first(self) -> None:
        """Wait for a turn that may come out of the reserve."""
        await self._take(self._first, 1)

    def close_for(self, seconds: float) -> None:
        """Give nobody a turn for this long."""
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)

    async def _take(self, turn: asyncio.Lock, tokens_needed: int) -> None:
        async with turn:
            while (wait_s := self._wait_s(tokens_needed)) > _ROUNDING:
                await self._clock.sleep(wait_s)
            self._tokens -= 1

    def _wait_s(self, tokens_needed: int) -> float:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._counted_at) * self._per_s)
        self._counted_at = now
        return max(self._closed_until - now, (tokens_needed - self._tokens) / self._per_s)
