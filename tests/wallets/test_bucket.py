"""The token bucket: how many turns there are in a minute, and who gets them."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable

import pytest

from core.wallets.bucket import TokenBucket


class HandClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self._now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now_ms(self) -> int:
        return int(self._now * 1000)

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now + seconds, self._count, woken))
        await woken

    async def go_on(self, seconds: float) -> None:
        end = self._now + seconds
        while True:
            for _ in range(10):  # everybody runs until he sleeps again
                await asyncio.sleep(0)
            if not self._sleepers or self._sleepers[0][0] > end:
                break
            self._now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
        self._now = end


class Taker:
    """Takes one turn after the other, and notes when."""

    def __init__(self, take: Callable[[], Awaitable[None]], clock: HandClock) -> None:
        self.at_s: list[float] = []
        self._take = take
        self._clock = clock
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self._take()
            self.at_s.append(self._clock.monotonic())

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def bucket(clock: HandClock) -> TokenBucket:
    return TokenBucket(clock=clock, per_minute=150, burst=30, reserve=10)


def fullest_minute(at_s: list[float]) -> int:
    return max(sum(1 for at in at_s if start <= at < start + 60) for start in at_s)


async def test_no_minute_has_more_turns_than_allowed(bucket: TokenBucket, clock: HandClock) -> None:
    first, routine = Taker(bucket.take_first, clock), Taker(bucket.take, clock)
    await clock.go_on(200)
    await first.stop()
    await routine.stop()

    assert 148 <= fullest_minute(sorted(first.at_s + routine.at_s)) <= 150


async def test_an_idle_minute_saves_no_more_than_the_burst(
    bucket: TokenBucket, clock: HandClock
) -> None:
    await clock.go_on(600)

    first = Taker(bucket.take_first, clock)
    await clock.go_on(0)
    await first.stop()

    assert len(first.at_s) == 30


async def test_routine_leaves_the_reserve_alone(bucket: TokenBucket, clock: HandClock) -> None:
    routine = Taker(bucket.take, clock)
    await clock.go_on(0)
    first = Taker(bucket.take_first, clock)
    await clock.go_on(0)
    await routine.stop()
    await first.stop()

    assert len(routine.at_s) == 20
    assert len(first.at_s) == 10


async def test_who_comes_first_gets_all_turns_while_routine_waits(
    bucket: TokenBucket, clock: HandClock
) -> None:
    routine = Taker(bucket.take, clock)
    await clock.go_on(0)
    had = len(routine.at_s)
    first = Taker(bucket.take_first, clock)
    await clock.go_on(60)
    await routine.stop()
    await first.stop()

    assert len(routine.at_s) == had
    assert len(first.at_s) == 10 + 120


async def test_a_closed_bucket_gives_no_turn_before_its_time(
    bucket: TokenBucket, clock: HandClock
) -> None:
    bucket.close_for(20)
    bucket.close_for(5)

    first = Taker(bucket.take_first, clock)
    await clock.go_on(19.9)
    before = list(first.at_s)
    await clock.go_on(0.2)
    await first.stop()

    assert before == []
    assert first.at_s[0] == pytest.approx(20)


async def test_a_caller_who_goes_away_takes_no_turn_with_him(
    bucket: TokenBucket, clock: HandClock
) -> None:
    first = Taker(bucket.take_first, clock)
    await clock.go_on(0)
    await first.stop()
    taken = len(first.at_s)

    next_one = Taker(bucket.take_first, clock)
    await clock.go_on(0.5)
    await next_one.stop()

    assert taken == 30
    assert len(next_one.at_s) == 1
