"""200 kills at random moments under mixed load, half of them on each database: about 15 minutes."""

import pytest

from tests.conftest import Database
from tests.process.kills import end_well, kill_at_random
from tests.process.world import open_stub_world

KILLS = 10
SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
async def test_kills_at_random_moments_lose_nothing(database: Database, seed: int) -> None:
    async with open_stub_world(database) as world:
        await kill_at_random(world, times=KILLS, seed=seed)
        await end_well(world)
