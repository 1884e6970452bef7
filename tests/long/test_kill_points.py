"""20 kills at every point of a job, one at a time: about 12 minutes."""

import pytest

from tests.conftest import Database
from tests.process.kills import end_well, kill_at
from tests.process.points import POINTS
from tests.process.world import open_world

REPEATS = 20


@pytest.mark.parametrize("repeat", range(REPEATS))
async def test_a_kill_at_each_point(sqlite_database: Database, repeat: int) -> None:
    async with open_world(sqlite_database) as world:
        for point in POINTS[repeat:] + POINTS[:repeat]:
            await kill_at(world, [point])
        await end_well(world)
