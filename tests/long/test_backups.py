"""50 backups under load, each of them gone on from: about 10 minutes."""

import asyncio
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.process.backups import back_up, go_on_from
from tests.process.load import Load
from tests.process.world import open_stub_world

BACKUPS = 10
BETWEEN = 10  # orders


@pytest.mark.parametrize("seed", range(5))
async def test_every_backup_holds_what_was_acknowledged_before_it(
    sqlite_database: Database, tmp_path: Path, seed: int
) -> None:
    async with open_stub_world(sqlite_database) as world:
        load = Load(world, seed=seed)
        taken = []
        async with load.running():
            for number in range(BACKUPS):
                await load.grow_by(BETWEEN)
                promised = [customer.as_known_now() for customer in load.acknowledged]
                await asyncio.to_thread(back_up, world.program, tmp_path / f"copy-{number}.db")
                taken.append((tmp_path / f"copy-{number}.db", promised))
        await world.program.stop()

        for copy, promised in taken:
            await go_on_from(copy, world, load, promised, copy.with_suffix(""))
