"""Waiting for a job and following it: no version is lost, and nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from core.loops.live import WorkDelta
from core.values.errors import NotFound
from core.values.ids import new_id
from tests.conftest import Database
from tests.fakes import WORK
from tests.world import ALICE, World, opened

PATIENCE_S = 30


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with opened(database) as world:
        yield world


async def follow(world, job_id, *, after_version):
    """All changes of a job until it has ended."""
    async with asyncio.timeout(PATIENCE_S):
        changes = world.jobs.job_changes(job_id, after_version=after_version)
        return [change async for change in changes]


async def test_waiting_ends_as_soon_as_the_state_is_another(world):
    job, _ = await world.order()
    wait = asyncio.create_task(world.jobs.wait_job(job.job_id, not_state=None, wait_s=60))
    await asyncio.sleep(0)

    world.wallet.pay(job.eval_invoice)

    async with asyncio.timeout(PATIENCE_S):
        assert (await wait).state != "awaiting_eval_payment"


async def test_waiting_does_not_end_while_the_state_is_the_same(world):
    job, token = await world.order()
    wait = asyncio.create_task(world.jobs.wait_job(job.job_id, not_state=None, wait_s=60))
    await asyncio.sleep(0)

    await world.jobs.renew_invoice(job.job_id, token, client=ALICE)
    await world.view(job.job_id)

    assert not wait.done()
    await world.jobs.cancel_job(job.job_id, token)
    assert (await wait).state == "failed"


async def test_waiting_for_another_state_than_the_jobs_ends_at_once(world):
    job, _ = await world.order()

    async with asyncio.timeout(PATIENCE_S):
        seen = await world.jobs.wait_job(job.job_id, not_state="evaluating", wait_s=60)

    assert seen == job


async def test_waiting_for_a_job_that_has_ended_ends_at_once(world):
    job, token = await world.order()
    ended = await world.jobs.cancel_job(job.job_id, token)

    async with asyncio.timeout(PATIENCE_S):
        assert await world.jobs.wait_job(job.job_id, not_state="failed", wait_s=60) == ended


async def test_waiting_ends_when_its_time_is_over(world):
    job, _ = await world.order()

    assert await world.jobs.wait_job(job.job_id, not_state=None, wait_s=0) == job
    assert await world.jobs.wait_job(job.job_id, not_state=None, wait_s=0.01) == job


async def test_who_follows_a_job_sees_every_version_and_the_text_between(world):
    go_on = asyncio.Event()
    world.agent.works.append((go_on, *WORK))
    job, _ = await world.order()
    followed = asyncio.create_task(follow(world, job.job_id, after_version=None))
    world.wallet.pay(job.eval_invoice)
    quoted = await world.becomes(job.job_id, "awaiting_work_payment")
    world.wallet.pay(quoted.work_invoice)
    await world.agent.calls.reaches(2)

    go_on.set()
    changes = await followed

    assert changes[-3:-1] == [WorkDelta(1, 0, "Alice, "), WorkDelta(1, 7, "Bob")]
    versions = [change for change in changes if not isinstance(change, WorkDelta)]
    assert [(one.version, one.state) for one in versions] == [
        (1, "awaiting_eval_payment"),
        (2, "evaluating"),
        (3, "awaiting_work_payment"),
        (4, "executing"),
        (5, "complete"),
    ]
    assert [one.result for one in versions] == [None] * 4 + ["Alice, Bob"]


@pytest.mark.parametrize("last", range(6))
async def test_who_comes_back_with_the_last_version_he_saw_misses_none(world, last):
    job = await world.executing()
    await world.becomes(job.job_id, "complete")

    changes = await follow(world, job.job_id, after_version=last)

    assert [change.version for change in changes] == list(range(last + 1, 6))


async def test_who_comes_without_a_version_begins_with_the_job_as_it_is(world):
    job = await world.executing()
    done = await world.becomes(job.job_id, "complete")

    assert await follow(world, job.job_id, after_version=None) == [done]


async def test_who_claims_a_version_that_never_was_still_sees_the_job_end(world):
    job, token = await world.order()
    changes = world.jobs.job_changes(job.job_id, after_version=99)
    async with asyncio.timeout(PATIENCE_S), aclosing(changes):
        following = asyncio.ensure_future(anext(changes))
        while not watching():
            await world.view(job.job_id)

        ended = await world.jobs.cancel_job(job.job_id, token)

        assert await following == ended


async def test_changes_of_one_moment_are_all_seen_by_a_slow_reader(world):
    job, token = await world.order()
    changes = world.jobs.job_changes(job.job_id, after_version=0)
    async with asyncio.timeout(PATIENCE_S), aclosing(changes):
        first = await anext(changes)
        for _ in range(5):
            await world.jobs.renew_invoice(job.job_id, token, client=ALICE)
        await world.jobs.cancel_job(job.job_id, token)

        rest = [change async for change in changes]

    assert [change.version for change in (first, *rest)] == list(range(1, 8))


async def test_who_stops_following_leaves_nothing_behind(world):
    job, _ = await world.order()
    before = asyncio.all_tasks()
    changes = world.jobs.job_changes(job.job_id, after_version=0)
    await anext(changes)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.wait([waiting])
    await changes.aclose()

    assert asyncio.all_tasks() == before
    assert job.job_id not in world.bulletin._listeners
    assert job.job_id not in world.jobs.live._watchers


async def test_who_stops_following_in_the_middle_of_a_text_leaves_nothing_behind(world):
    world.agent.works.append((*WORK[:1], asyncio.Event()))
    job = await world.quoted()
    changes = world.jobs.job_changes(job.job_id, after_version=job.version)
    world.wallet.pay(job.work_invoice)
    async with asyncio.timeout(PATIENCE_S):
        while not isinstance(await anext(changes), WorkDelta):
            pass

    await changes.aclose()

    assert watching() == []


def watching():
    """The tasks that wait for news without a limit of time, as followers do."""
    waits = (task.get_coro() for task in asyncio.all_tasks())
    return [wait for wait in waits if "News.wait" in repr(wait) and not _limit(wait)]


def _limit(wait):
    return wait.cr_frame.f_locals["timeout_s"]


async def test_a_job_that_is_not_there_can_be_neither_seen_nor_followed(world):
    for job_id in (new_id("job"), new_id("ses"), "job_1", ""):
        with pytest.raises(NotFound):
            await world.view(job_id)
        with pytest.raises(NotFound):
            await world.jobs.wait_job(job_id, not_state=None, wait_s=60)
        with pytest.raises(NotFound):
            await follow(world, job_id, after_version=None)
