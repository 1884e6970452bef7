"""A disk that is really full, ten times: a small file system in memory, which root may mount."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.process.customer import Customer
from tests.process.kills import end_well
from tests.process.refusals import order_until_refused
from tests.process.server import LIMIT_S, Program
from tests.process.world import StubWorld, of_model
from tests.simulator.model import SimulatedModel

SIZE = "16m"
ROOM_BYTES = 200 * 1024
FILLS = 10
# The stub wallet's journal lies on the same disk.
CODES = ("database_unavailable", "wallet_unavailable")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True, timeout=LIMIT_S)


@contextlib.contextmanager
def nearly_full(disk: Path) -> Iterator[None]:
    """While the block runs the disk has room for little more."""
    ballast = disk / "ballast"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
    ballast.write_bytes(bytes(max(0, free - ROOM_BYTES)))
    yield
    ballast.unlink()


async def test_a_full_disk_refuses_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    database = Database("sqlite", "sqlite", small_disk)
    folder = {"BOLTWORK_SERVER__DATA_DIR": str(small_disk)}
    async with (
        SimulatedModel() as model,
        Program(tmp_path, **of_model(model.url), **folder) as program,
    ):
        world = StubWorld(database, program, model)
        accepted: list[Customer] = []
        for _ in range(FILLS):
            with nearly_full(small_disk):
                accepted += await order_until_refused(world, CODES)
                await program.settle_down()
            await Customer(program, world.pay).see_it_through()
        await program.restart()

        assert len(accepted) > FILLS
        assert "Traceback" not in program.log()
        await asyncio.gather(*(customer.look() for customer in accepted))
        await asyncio.gather(*(customer.see_it_through() for customer in accepted))
        await end_well(world)
