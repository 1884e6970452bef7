"""Kills at every step of a payout, and at 200 random moments: on each database about 15 minutes.

On PostgreSQL what a dead process had taken is another's a minute later.
"""

import pytest

from tests.conftest import Database
from tests.process.kills import end_well
from tests.process.payback import pay_back_under_kills
from tests.process.payout_points import KINDS, POINTS, kill_payout_at
from tests.process.world import open_stub_world, open_world

KILLS = 20
SEEDS = range(10)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kill_at_each_point_of_a_payout(database: Database, kind: str) -> None:
    async with open_world(database) as world:
        for point in POINTS:
            await kill_payout_at(world, point, KINDS[kind])
        await end_well(world)


@pytest.mark.parametrize("seed", SEEDS)
async def test_payouts_survive_kills_at_random_moments(database: Database, seed: int) -> None:
    async with open_stub_world(database) as world:
        await pay_back_under_kills(world, kills=KILLS, seed=seed)
        await end_well(world)
