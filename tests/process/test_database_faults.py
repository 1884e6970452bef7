"""A database that cannot be written: no false yes, and no repair when it can be again."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.conftest import Database
from tests.postgres_server import private_server
from tests.process.customer import Customer
from tests.process.kills import end_well
from tests.process.refusals import assert_refused, order_until_refused
from tests.process.server import Program, Reply, eventually
from tests.process.world import new_request, open_stub_world
from tests.simulator.model import Answer

ROOM_BYTES = 512 * 1024
UNLIMITED_BYTES = 2**40


def room_left(folder: Path) -> int:
    """A file size that the database reaches after some orders, and no other file does."""
    return max(file.stat().st_size for file in folder.glob("boltwork.db*")) + ROOM_BYTES


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another program has the database to itself while the block runs."""
    with closing(sqlite3.connect(folder / "boltwork.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


async def test_a_full_disk_refuses_orders_and_keeps_every_one_that_was_accepted(
    sqlite_database: Database,
) -> None:
    async with open_stub_world(sqlite_database) as world:
        program = world.program
        program.limit_files_to(room_left(program.folder))

        accepted = await order_until_refused(world)
        refused = await asyncio.gather(
            *(program.post("/jobs", {"request": new_request()}) for _ in range(20))
        )
        seen = await asyncio.gather(*(customer.look() for customer in accepted))
        program.limit_files_to(UNLIMITED_BYTES)
        after = await program.post("/jobs", {"request": new_request()})

        assert accepted
        for reply in refused:
            assert_refused(reply)
        assert {job["state"] for job in seen} == {"awaiting_eval_payment"}
        assert after.status == 201
        assert "Traceback" not in program.log()
        await program.restart()
        for customer in accepted:
            await customer.look()
        await _see_two_through(accepted)


async def _see_two_through(customers: list[Customer]) -> None:
    for customer in customers[:2]:
        await customer.pay_for("awaiting_eval_payment")
        await customer.pay_for("awaiting_work_payment")
        await customer.reach("complete")


async def test_a_payment_on_a_full_disk_is_credited_when_there_is_room(
    sqlite_database: Database,
) -> None:
    async with open_stub_world(sqlite_database) as world:
        program = world.program
        customer = Customer(program, world.pay)
        await customer.order()
        program.limit_files_to(room_left(program.folder))
        await order_until_refused(world)

        await customer.pay_for("awaiting_eval_payment")
        await program.settle_down()
        state_without_room = (await customer.look())["state"]
        program.limit_files_to(UNLIMITED_BYTES)

        assert state_without_room == "awaiting_eval_payment"
        assert (await customer.reach("awaiting_work_payment"))["version"] > 1


async def test_a_locked_database_refuses_and_serves_again_by_itself(
    sqlite_database: Database,
) -> None:
    async with open_stub_world(sqlite_database) as world:
        program = world.program
        customer, worker = Customer(program, world.pay), Customer(program, world.pay)
        await customer.order()
        await worker.be_quoted()
        world.model.script(Answer(text="one two three four", pieces=4, every_s=4))
        await worker.pay_for("awaiting_work_payment")
        await world.model.called(2)

        with locked(program.folder):
            began_s = time.monotonic()
            orders = [program.post("/jobs", {"request": new_request()}) for _ in range(10)]
            cancel = program.post(f"/jobs/{customer.job_id}/cancel", **customer.credential)
            answers = asyncio.gather(*orders, cancel)
            await customer.pay_for("awaiting_eval_payment")
            read = await asyncio.wait_for(customer.look(), 1)
            refused = await answers
            took_s = time.monotonic() - began_s
        after = await program.post("/jobs", {"request": new_request()})

        for reply in refused:
            assert_refused(reply)
        assert read["state"] == "awaiting_eval_payment"
        assert 5 <= took_s < 12
        assert after.status == 201
        await customer.see_it_through()
        await worker.reach("complete")
        assert len(world.model.calls) == 4, "work that ran meanwhile was not begun anew"
        assert "Traceback" not in program.log()
        await program.post(f"/jobs/{after.json()['jobId']}/cancel", **_credential(after))
        await end_well(world)


async def test_a_postgresql_that_stops_is_waited_for(tmp_path: Path) -> None:
    with private_server() as server:
        database = Database("postgres", server.server.dsn, tmp_path)
        async with open_stub_world(database) as world:
            program, customer = world.program, Customer(world.program, world.pay)
            opened = await customer.order()

            server.stop()
            refused = await asyncio.gather(
                *(program.post("/jobs", {"request": new_request()}) for _ in range(10)),
                program.get(f"/jobs/{customer.job_id}"),
            )
            await world.pay(opened.json()["evalInvoice"]["paymentHash"])
            await eventually(lambda: _names(program, "database"))
            server.start()
            await eventually(program.is_ready)

            for reply in refused:
                assert_refused(reply)
            await customer.see_it_through()
            assert "Traceback" not in program.log()
            await end_well(world)


async def _names(program: Program, who: str) -> bool:
    """Whether it says of this one that it is not ready."""
    reply = await program.get("/readyz")
    return reply.status == 503 and who in reply.json()["notReady"]


def _credential(opened: Reply) -> dict[str, str]:
    return {"Authorization": f"Bearer {opened.json()['jobToken']}"}
