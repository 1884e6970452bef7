"""20 kills with a job at every point at once, on both databases: about 15 minutes.

On PostgreSQL a dead process's leases run out by themselves, so a kill for each point alone would
take hours.
"""

import pytest

from tests.conftest import Database
from tests.process.kills import end_well, kill_at
from tests.process.points import POINTS
from tests.process.world import open_world

REPEATS = 20


@pytest.mark.parametrize("repeat", range(REPEATS))
async def test_one_kill_at_all_points(database: Database, repeat: int) -> None:
    async with open_world(database) as world:
        await kill_at(world, POINTS[repeat:] + POINTS[:repeat])
        await end_well(world)
