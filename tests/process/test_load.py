"""Under load: a few kills at random moments, and a backup that is a whole one.

`tests/long` kills and copies far more often.
"""

import asyncio
from pathlib import Path

from tests.conftest import Database
from tests.process.backups import back_up, go_on_from
from tests.process.kills import end_well, kill_at_random
from tests.process.load import Load
from tests.process.world import open_stub_world

SEED = 20_231
KILLS = 3
ORDERS = 30


async def test_kills_at_random_moments_lose_nothing(sqlite_database: Database) -> None:
    async with open_stub_world(sqlite_database) as world:
        await kill_at_random(world, times=KILLS, seed=SEED)
        await end_well(world)


async def test_a_backup_under_load_holds_what_was_acknowledged_before_it(
    sqlite_database: Database, tmp_path: Path
) -> None:
    async with open_stub_world(sqlite_database) as world:
        load = Load(world, seed=SEED)
        async with load.running():
            await load.grow_by(ORDERS)
            promised = [customer.as_known_now() for customer in load.acknowledged]
            await asyncio.to_thread(back_up, world.program, tmp_path / "copy.db")
            await load.grow_by(ORDERS)
        await world.program.stop()

        await go_on_from(tmp_path / "copy.db", world, load, promised, tmp_path / "restored")
