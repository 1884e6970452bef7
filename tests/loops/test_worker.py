"""The worker: leases, heartbeats, counted attempts: no answer counts twice, or too late."""

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import replace

from core.agents.port import AgentFault
from core.books import job_rows
from core.books.lifecycle import INTAKE
from core.books.refunds import Debt
from core.loops.steps import COMPARING_S
from core.loops.worker import LEASE_MS, SLOTS, Worker
from core.values.errors import DatabaseUnavailable
from core.values.money import Msat
from tests.fakes import ACCEPTED, WORK, FakeAgent, FakeStore
from tests.world import LEASE_S, opened

FEE, PRICE = Msat(21_000), Msat(15_000)
PATIENCE_S = 30


async def idle(world):
    """Wait until no step runs."""
    async with asyncio.timeout(PATIENCE_S):
        while world.core.worker._running:
            await asyncio.gather(*world.core.worker._running)


async def lease_as_another(world, *, after_s=LEASE_S):
    """Another process takes what is due after this time."""
    now_ms = world.clock.now_ms() + after_s * 1000
    return await world.store.write(
        job_rows.lease_due, "another", now_ms=now_ms, until_ms=now_ms + LEASE_MS, limit=99
    )


async def lease(world, job_id):
    """Who has the job, until when."""
    return await world.store.read(_lease, job_id)


async def _lease(tx, job_id):
    row = await job_rows.row(tx, job_id)
    return row["lease_owner"], row["due_at_ms"]


@asynccontextmanager
async def another_worker(world):
    """In place of the core's own worker, one with a quick heart and a store that is watched."""
    await world.core.worker.drain(0)
    store = FakeStore(world.store)
    steps = replace(world.core.worker.steps, store=store)
    worker = Worker(steps, world.bulletin, "a quick heart", beat_s=0.001)
    task = asyncio.create_task(worker.run())
    try:
        yield worker, store
    finally:
        await worker.drain(0)
        task.cancel()
        await asyncio.wait([task])


# A lease that was lost


async def test_a_verdict_that_comes_after_the_lease_was_lost_is_thrown_away(world):
    go_on = asyncio.Event()
    world.agent.evaluations.append((go_on, ACCEPTED))
    job = await world.evaluating()
    await world.agent.calls.reaches(1)

    await lease_as_another(world)
    go_on.set()
    await idle(world)

    record = await world.record(job.job_id)
    assert (record.state, record.price_sats) == ("evaluating", None)
    assert (await lease(world, job.job_id))[0] == "another"
    assert ("make", "work") not in world.wallet.journal


async def test_work_that_comes_after_the_lease_was_lost_is_thrown_away(world):
    go_on = asyncio.Event()
    world.agent.works.append((go_on, *WORK))
    job = await world.executing()
    await world.agent.calls.reaches(2)

    await lease_as_another(world)
    go_on.set()
    await idle(world)

    seen = await world.view(job.job_id)
    assert (seen.state, seen.result) == ("executing", None)
    assert await world.revenue() == 0


async def test_a_fault_that_comes_after_the_lease_was_lost_fails_nothing(world):
    go_on = asyncio.Event()
    world.agent.works.append((go_on, AgentFault("refused", retry=False)))
    job = await world.executing()
    await world.agent.calls.reaches(2)

    await lease_as_another(world)
    go_on.set()
    await idle(world)

    assert (await world.view(job.job_id)).state == "executing"


async def test_no_call_is_made_under_a_lease_that_was_lost_before(world):
    await world.core.worker.drain(0)
    job = await world.evaluating()
    [leased] = await lease_as_another(world, after_s=0)
    await lease_as_another(world)

    await world.core.worker.steps.advance(leased)

    assert world.agent.calls == []
    assert (await world.record(job.job_id)).eval_calls == 0


async def test_a_cancel_stops_the_evaluation_that_runs(world):
    world.agent.evaluations.append((asyncio.Event(),))
    job, token = await world.order()
    world.wallet.pay(job.eval_invoice)
    await world.agent.calls.reaches(1)

    await world.jobs.cancel_job(job.job_id, token)
    await idle(world)

    assert world.agent.calls[0].ended == "stopped"
    assert (await world.view(job.job_id)).error_code == "cancelled"
    assert await world.debt(job.job_id) == Debt()


# Heartbeats


async def test_a_heartbeat_keeps_the_lease(world):
    world.agent.evaluations.append((asyncio.Event(),))
    async with another_worker(world) as (worker, store):
        job = await world.evaluating()
        await world.agent.calls.reaches(1)

        world.clock.advance(10)
        await store.done.holds(job_rows.beat, times=store.begun.count(job_rows.beat) + 2)

        until_ms = world.clock.now_ms() + LEASE_MS
        assert await lease(world, job.job_id) == (worker.process_id, until_ms)
        world.clock.advance(LEASE_S - 1)
        assert await lease_as_another(world, after_s=0) == []
        assert len(world.agent.calls) == 1


async def test_a_heartbeat_that_finds_the_lease_lost_stops_the_call(world):
    world.agent.evaluations.append((asyncio.Event(),))
    async with another_worker(world) as (worker, _):
        await world.evaluating()
        await world.agent.calls.reaches(1)

        await lease_as_another(world)

        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*worker._running)
        assert world.agent.calls[0].ended == "stopped"


async def test_a_missed_heartbeat_does_not_stop_the_work(world):
    go_on = asyncio.Event()
    world.agent.evaluations.append((go_on, ACCEPTED))
    async with another_worker(world) as (_, store):
        store.script[job_rows.beat] = DatabaseUnavailable("gone, says the test")
        job = await world.evaluating()
        await store.begun.holds(job_rows.beat, times=3)

        go_on.set()

        await world.becomes(job.job_id, "awaiting_work_payment")


async def test_without_a_heartbeat_another_takes_the_job_when_the_lease_has_run_out(world):
    await world.core.worker.drain(0)
    job = await world.evaluating()
    await lease_as_another(world, after_s=0)

    async with another_worker(world):
        world.clock.advance(LEASE_S - 1)
        world.bulletin.post([INTAKE])
        assert (await lease(world, job.job_id))[0] == "another"
        world.clock.advance(1)
        world.bulletin.post([INTAKE])
        await world.becomes(job.job_id, "awaiting_work_payment")


# Attempts and the end of their process


async def test_work_calls_that_ended_with_their_process_are_counted(database):
    async with opened(database) as world:
        job = await world.quoted()
        clock, wallet = world.clock, world.wallet
        await world.core.worker.drain(0)
        wallet.pay(job.work_invoice)
        await world.becomes(job.job_id, "executing")

    for _ in range(3):
        agent = FakeAgent(works=deque([(asyncio.Event(),)]))
        async with opened(database, clock=clock, wallet=wallet, agent=agent):
            await agent.calls.reaches(1)

    async with opened(database, clock=clock, wallet=wallet) as world:
        job = await world.becomes(job.job_id, "failed")

        assert job.error_code == "work_failed"
        assert world.agent.calls == []
        assert await world.debt(job.job_id) == Debt(house=Msat(FEE + PRICE))


async def test_evaluation_calls_that_ended_with_their_process_are_counted(database):
    async with opened(database) as world:
        await world.core.worker.drain(0)
        job = await world.evaluating()
        clock, wallet = world.clock, world.wallet

    for _ in range(6):
        agent = FakeAgent(evaluations=deque([(asyncio.Event(),)]))
        async with opened(database, clock=clock, wallet=wallet, agent=agent):
            await agent.calls.reaches(1)

    async with opened(database, clock=clock, wallet=wallet) as world:
        job = await world.becomes(job.job_id, "failed")

        assert job.error_code == "evaluation_failed"
        assert world.agent.calls == []
        assert await world.debt(job.job_id) == Debt(house=FEE)


async def test_a_job_goes_on_after_a_restart(database):
    async with opened(database) as world:
        job = await world.quoted()
        clock, wallet = world.clock, world.wallet
        world.agent.works.append((asyncio.Event(),))
        wallet.pay(job.work_invoice)
        await world.agent.calls.reaches(2)

    async with opened(database, clock=clock, wallet=wallet) as world:
        await world.pass_time(LEASE_S)
        job = await world.becomes(job.job_id, "complete")

        assert job.result == "Alice, Bob"
        assert await world.revenue() == FEE + PRICE


async def test_a_folders_only_process_need_not_wait_for_the_lease_of_the_one_before(
    sqlite_database,
):
    async with opened(sqlite_database) as world:
        await world.core.worker.drain(0)
        job = await world.evaluating()
        await lease_as_another(world, after_s=0)

    async with opened(sqlite_database, clock=world.clock, wallet=world.wallet) as world:
        world.clock.advance(COMPARING_S)
        await world.becomes(job.job_id, "awaiting_work_payment")


# Many jobs


async def test_a_step_that_dies_of_our_own_mistake_stops_no_other_job(world):
    world.agent.evaluations.append((RuntimeError("our own mistake"),))
    first = await world.evaluating()
    await world.agent.calls.reaches(1)

    await world.quoted()
    assert (await world.view(first.job_id)).state == "evaluating"
    await world.pass_time(LEASE_S)

    await world.becomes(first.job_id, "awaiting_work_payment")


async def test_so_many_steps_run_at_once_and_the_next_begins_when_one_ends(database):
    free = {"PRICING__EVAL_FEE_SATS": "0", "LIMITS__FREE_EVALUATIONS_PER_HOUR": "0"}
    async with opened(database, **free) as world:
        gates = [asyncio.Event() for _ in range(SLOTS + 1)]
        world.agent.evaluations.extend((gate, ACCEPTED) for gate in gates)
        for _ in range(SLOTS + 1):
            await world.order()
        await world.agent.calls.reaches(SLOTS)
        for _ in range(5):  # looks of the worker that find no free slot
            world.bulletin.post([INTAKE])
            await world.store.read(job_rows.next_due_ms)
        assert len(world.core.worker._running) == SLOTS
        assert len(world.agent.calls) == SLOTS

        gates[7].set()
        await world.agent.calls.reaches(SLOTS + 1)

        for gate in gates:
            gate.set()
        await idle(world)


# Stopping


async def test_a_drain_lets_a_running_step_end(world):
    go_on = asyncio.Event()
    world.agent.works.append((go_on, *WORK))
    job = await world.executing()
    await world.agent.calls.reaches(2)

    drain = asyncio.create_task(world.core.drain(PATIENCE_S))
    go_on.set()
    await drain

    assert (await world.view(job.job_id)).state == "complete"


async def test_a_step_that_does_not_end_in_time_is_given_back_to_whoever_comes(world):
    world.agent.works.append((asyncio.Event(),))
    job = await world.executing()
    await world.agent.calls.reaches(2)

    await world.core.drain(0)

    assert world.agent.calls[-1].ended == "stopped"
    assert len(await lease_as_another(world, after_s=0)) == 1
    assert (await world.view(job.job_id)).state == "executing"


async def test_a_drained_worker_takes_nothing_new(world):
    await world.core.worker.drain(0)

    job = await world.evaluating()
    world.bulletin.post([INTAKE])

    assert (await lease(world, job.job_id))[0] is None
    assert world.agent.calls == []


async def test_a_drain_while_a_lease_is_taken_starts_no_step(world):
    taken = asyncio.Event()
    world.agent.evaluations.append((asyncio.Event(),))
    async with another_worker(world) as (worker, store):
        store.script[job_rows.lease_due] = taken
        await world.evaluating()
        await store.begun.holds(job_rows.lease_due)

        drain = asyncio.create_task(worker.drain(0))
        await asyncio.sleep(0)
        taken.set()
        await drain
        await store.done.holds(job_rows.lease_due)
        await asyncio.sleep(0)  # what has a lease by now is a step by now

        assert not worker._running
        assert len(await lease_as_another(world, after_s=0)) == 1


async def test_a_lease_that_cannot_be_given_back_does_not_hold_up_the_stop(world):
    world.agent.evaluations.append((asyncio.Event(),))
    async with another_worker(world) as (worker, store):
        store.script[job_rows.retry_at] = DatabaseUnavailable("gone, says the test")
        job = await world.evaluating()
        await world.agent.calls.reaches(1)

        await worker.drain(0)

        assert (await lease(world, job.job_id))[0] == worker.process_id


async def test_who_leaves_the_core_leaves_no_step_running(database):
    async with opened(database) as world:
        world.agent.works.append((asyncio.Event(),))
        await world.executing()
        await world.agent.calls.reaches(2)

    assert [(call.kind, call.ended) for call in world.agent.calls] == [
        ("evaluate", "done"),
        ("work", "stopped"),
        ("close", "done"),
    ]
