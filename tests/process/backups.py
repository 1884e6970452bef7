"""Back up a program under load, and go on from the copy."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.conftest import Database
from tests.process.customer import Customer
from tests.process.kills import end_well
from tests.process.load import Load
from tests.process.server import LIMIT_S, Program, command, environment
from tests.process.world import StubWorld, of_model


def back_up(program: Program, copy: Path) -> None:
    """Run the documented command beside the server."""
    subprocess.run(
        command("backup", str(copy)),
        cwd=program.folder,
        env=environment(program.variables),
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )


async def go_on_from(
    copy: Path, world: StubWorld, load: Load, promised: list[Customer], folder: Path
) -> None:
    """Start on the copy in a new folder, with the original secret, after `world` has stopped.

    Everything `promised` before the backup began holds, every job in the copy comes to its end,
    what was paid for any other is owed back, and the books are good.
    """
    _restore(world.program.folder, copy, folder)
    paid = world.outside().received
    world.model.calls.clear()
    async with Program(folder, **of_model(world.model.url)) as program:
        again = StubWorld(Database("sqlite", "sqlite", folder), program, world.model)
        for customer in promised:
            customer.program, customer.pay = program, again.pay
            await customer.order()
            await customer.look()
        for known in load.acknowledged:
            customer = replace(known, program=program, pay=again.pay, job={}, versions={})
            await _see_what_became_of(customer, paid)
        await end_well(again)


def _restore(original: Path, copy: Path, folder: Path) -> None:
    """The copy and the original secret in a new folder; the wallet, being outside, goes on."""
    folder.mkdir()
    shutil.copy(copy, folder / "boltwork.db")
    for file in [original / "secret.key", *original.glob("stub-wallet*")]:
        shutil.copy(file, folder)


async def _see_what_became_of(customer: Customer, paid: Mapping[str, int]) -> None:
    """A job in the copy comes to its end; one that the copy lacks is there if it was paid."""
    reply = await customer.program.get(f"/jobs/{customer.job_id}")
    if reply.status == 404:
        assert customer.first_hash not in paid
    elif reply.json()["request"] is not None:
        await customer.see_it_through()
    else:  # it was made again from its payments at the wallet
        job = reply.json()
        assert (job["state"], job["errorCode"]) == ("failed", "evaluation_failed")
        assert [refund["state"] for refund in job["refunds"]] == ["due"]
