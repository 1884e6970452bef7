"""SIGTERM at 50 random moments under load: about 5 minutes."""

import asyncio
import random
import time

import pytest

from tests.conftest import Database
from tests.process.kills import end_well
from tests.process.load import Load
from tests.process.world import open_stub_world

STOPS = 5
GRACE_S = 3
SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_stop_is_in_good_order_and_loses_nothing(database: Database, seed: int) -> None:
    async with open_stub_world(database, BOLTWORK_SERVER__SHUTDOWN_GRACE_S=str(GRACE_S)) as world:
        load, dice = Load(world, seed=seed), random.Random(seed)
        async with load.running():
            for _ in range(STOPS):
                await asyncio.sleep(dice.uniform(0.1, 1.5))  # the moment is the dice's
                began_s = time.monotonic()
                assert await world.program.stop() == 0
                assert time.monotonic() - began_s < GRACE_S + 2
                await world.program.start()
                await load.verify()
        await load.end_all()

        assert "Traceback" not in world.program.log()
        await end_well(world)
