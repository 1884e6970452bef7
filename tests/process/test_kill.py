"""kill -9 at every step of a job: nothing acknowledged is lost, nothing counts twice.

A kill meets several jobs at several steps; `tests/long` kills at each step alone, and often.
"""

import pytest

from tests.conftest import Database
from tests.process.kills import end_well, kill_at
from tests.process.points import PHASES, POINTS
from tests.process.world import open_world


@pytest.mark.parametrize("phase", PHASES)
async def test_jobs_survive_a_kill_at_every_step(sqlite_database: Database, phase: str) -> None:
    async with open_world(sqlite_database) as world:
        for points in (PHASES[phase][::2], PHASES[phase][1::2]):
            await kill_at(world, points)
        await end_well(world)


async def test_jobs_at_many_steps_survive_one_kill_on_postgresql(
    postgres_database: Database,
) -> None:
    async with open_world(postgres_database) as world:
        await kill_at(world, POINTS[::2])
        await end_well(world)
