"""SIGTERM while much work runs."""

import asyncio
import signal
import time
from collections import Counter

from tests.conftest import Database
from tests.process.customer import Customer
from tests.process.kills import end_well
from tests.process.server import LIMIT_S, Program, eventually
from tests.process.world import StubWorld, new_request, open_stub_world, rows
from tests.simulator.model import Answer, Fault

WORKING = 20
EVALUATED = 10
GRACE_S = 2


async def keep_busy(world: StubWorld) -> list[Customer]:
    """Jobs whose model calls do not come to an end: 20 at work, 10 in evaluation."""
    customers = [Customer(world.program, world.pay) for _ in range(WORKING + EVALUATED)]
    await asyncio.gather(*(customer.be_quoted() for customer in customers[:WORKING]))
    world.model.settings.work = Fault.hang()
    world.model.settings.verdict = Fault.hang()
    for customer in customers[WORKING:]:
        await customer.order()
        await customer.pay_for("awaiting_eval_payment")
    for customer in customers[:WORKING]:
        await customer.pay_for("awaiting_work_payment")
    await world.model.called(2 * WORKING + EVALUATED, within_s=LIMIT_S)
    return customers


def heal(world: StubWorld) -> None:
    healthy = type(world.model.settings)()
    world.model.settings.work = healthy.work
    world.model.settings.verdict = healthy.verdict


async def end_all(world: StubWorld, customers: list[Customer]) -> None:
    """Start again, and all of them get what they paid for."""
    heal(world)
    await world.program.start()
    jobs = await asyncio.gather(*(customer.see_it_through() for customer in customers))
    assert Counter(job["state"] for job in jobs) == {"complete": WORKING + EVALUATED}
    await end_well(world)


async def test_a_stop_with_30_jobs_is_announced_at_once_and_loses_none(database: Database) -> None:
    async with open_stub_world(database, BOLTWORK_SERVER__SHUTDOWN_GRACE_S=str(GRACE_S)) as world:
        customers = await keep_busy(world)
        program = world.program
        watcher = asyncio.create_task(_last_version(customers[0]))

        began_s = time.monotonic()
        program.terminate()
        await eventually(lambda: _is_draining(program), within_s=GRACE_S)
        announced_s = time.monotonic() - began_s
        refused = await program.post("/jobs", {"request": new_request()})
        read = await customers[0].look()
        code = await program.ended(within_s=GRACE_S + LIMIT_S)
        ended_s = time.monotonic() - began_s

        assert announced_s < 0.5
        assert refused.status == 503
        assert refused.json()["code"] == "shutting_down"
        assert "Retry-After" in refused.headers
        assert read["state"] == "executing"
        assert code == 0
        assert ended_s < GRACE_S + 2
        assert await watcher == read["version"]
        assert "Traceback" not in program.log()
        await end_all(world, customers)


async def _is_draining(program: Program) -> bool:
    reply = await program.get("/readyz")
    return reply.status == 503 and "draining" in reply.json()["notReady"]


async def _last_version(customer: Customer) -> int:
    """Follow a job until its events end."""
    last = 0
    async with customer.program.events(customer.job_id) as events:
        async for event in events:
            last = event.id if event.id is not None else last
    return last


async def test_work_that_ends_within_the_grace_is_finished(sqlite_database: Database) -> None:
    async with open_stub_world(sqlite_database) as world:
        customers = [Customer(world.program, world.pay) for _ in range(WORKING)]
        await asyncio.gather(*(customer.be_quoted() for customer in customers))
        world.model.settings.work = Answer(text="one two three", pieces=3, every_s=0.5)
        await asyncio.gather(*(customer.pay_for("awaiting_work_payment") for customer in customers))
        await world.model.called(2 * WORKING)

        began_s = time.monotonic()
        code = await world.program.stop()
        ended_s = time.monotonic() - began_s

        assert code == 0
        assert ended_s < 10, "whoever has nothing left to do does not wait for the grace's end"
        states = await rows(sqlite_database, "SELECT state FROM jobs")
        assert Counter(row["state"] for row in states) == {"complete": WORKING}


async def test_a_second_sigterm_ends_it_at_once_and_loses_nothing(
    sqlite_database: Database,
) -> None:
    async with open_stub_world(sqlite_database) as world:
        customers = await keep_busy(world)
        world.program.terminate()
        await eventually(lambda: _is_draining(world.program))

        began_s = time.monotonic()
        world.program.terminate()
        code = await world.program.ended()

        assert time.monotonic() - began_s < 1
        assert code == -signal.SIGTERM
        await end_all(world, customers)
