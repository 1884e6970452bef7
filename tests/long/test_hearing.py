"""Hearing of payments among 10,000 open invoices, within LNbits' 200 calls a minute: 6 minutes."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator

import pytest

from core.values.clock import SystemClock
from tests.simulator.lnbits import SimulatedLnbits, SocketMode
from tests.wallets.lnbits_world import ordered, wallet_at

OPEN = 10_000
SECONDS = 120.0
PAYMENTS = 120  # one a second; what is pushed costs a call each, of 150 a minute
LIMITS_S: dict[SocketMode, float] = {"open": 1.0, "silent": 5.0, "refused": 5.0}


@pytest.mark.parametrize(("mode", "limit_s"), LIMITS_S.items())
async def test_a_payment_is_heard_in_time_and_within_the_budget(
    mode: SocketMode, limit_s: float
) -> None:
    async with SimulatedLnbits(requests_per_minute=200) as sim:
        sim.socket_mode = mode
        hashes = [ordered(sim) for _ in range(OPEN)]
        async with wallet_at(sim, clock=SystemClock(), catch_up_s=2.0, timeout_s=10.0) as wallet:
            heard: dict[str, float] = {}
            listening = asyncio.create_task(_listen(wallet.settlements(), heard))
            try:
                await asyncio.sleep(2 * limit_s)  # the first rounds are over
                paid = await _pay_some(sim, hashes)
                await asyncio.sleep(2 * limit_s)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    waits_s = sorted(heard.get(name, float("inf")) - at_s for name, at_s in paid.items())
    assert waits_s[int(len(waits_s) * 0.99)] <= limit_s
    assert [call for call in sim.calls if call.status == 429] == []
    assert _most_in_a_minute([call.at_s for call in sim.calls]) <= 150


async def _listen(settlements: AsyncGenerator, heard: dict[str, float]) -> None:
    async for settlement in settlements:
        if settlement is not None:
            heard.setdefault(settlement.payment_hash, time.monotonic())


async def _pay_some(sim: SimulatedLnbits, hashes: list[str]) -> dict[str, float]:
    """When each of some invoices, old and new, was paid."""
    paid = {}
    for payment_hash in random.Random(1).sample(hashes, PAYMENTS):
        paid[payment_hash] = time.monotonic()
        await sim.settle(payment_hash)
        await asyncio.sleep(SECONDS / PAYMENTS)
    return paid


def _most_in_a_minute(times_s: list[float]) -> int:
    return max(sum(1 for other in times_s if 0 <= other - first < 60) for first in times_s)
