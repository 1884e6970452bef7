"""The work of a job: tries, deadline, what is a result, and what becomes of everything else."""

import asyncio
import json

import pytest

from core.agents.port import AgentFault, Delta, Usage, Verdict
from core.books.job_rows import TokensUsed
from core.books.refunds import Debt
from core.loops.live import WorkDelta
from core.values.money import Msat
from tests.fakes import WORK
from tests.world import DEADLINE_S, opened

FEE = Msat(21_000)
PRICE = Msat(15_000)
ALL_IS_OWED = Debt(house=Msat(FEE + PRICE))


async def test_the_work_runs_within_the_limit_that_the_quote_allows(world):
    job = await world.executing()
    await world.becomes(job.job_id, "complete")

    assert world.agent.calls[-1].output_tokens_max == 4_000


async def test_work_is_tried_three_times_and_then_everything_is_owed_back(world):
    world.agent.works.extend([(Delta("half"), AgentFault("cut off"))] * 5)
    job = await world.executing()

    await world.retried(after=[2, 3])

    job = await world.becomes(job.job_id, "failed")
    assert (job.error_code, job.result) == ("work_failed", None)
    assert [call.kind for call in world.agent.calls] == ["evaluate", "work", "work", "work"]
    assert await world.debt(job.job_id) == ALL_IS_OWED
    assert await world.revenue() == 0


async def test_work_that_succeeds_at_the_third_try_is_the_result(world):
    world.agent.works.extend([(Delta("half"), AgentFault("cut off"))] * 2)
    job = await world.executing()

    await world.retried(after=[2, 3])

    assert (await world.becomes(job.job_id, "complete")).result == "Alice, Bob"
    assert await world.revenue() == FEE + PRICE


async def test_work_that_cannot_succeed_is_not_tried_again(world):
    world.agent.works.append((AgentFault("refused", retry=False),))
    job = await world.executing()

    job = await world.becomes(job.job_id, "failed")

    assert job.error_code == "work_failed"
    assert len(world.agent.calls) == 2


@pytest.mark.parametrize("text", ["", " \n\t "])
async def test_empty_work_is_no_result(world, text):
    world.agent.works.append((Delta(text), Usage(7, 3)))
    job = await world.executing()

    job = await world.becomes(job.job_id, "failed")

    assert (job.error_code, job.result) == ("work_failed", None)
    assert await world.debt(job.job_id) == ALL_IS_OWED


@pytest.mark.parametrize(
    ("said", "used"),
    [
        (Usage(7, 3), TokensUsed(7, 3)),
        (Usage(None, None), TokensUsed(5, 3)),  # 17 and 10 bytes
        (Usage(7, None), TokensUsed(7, 3)),
    ],
)
async def test_usage_that_is_not_reported_is_estimated(world, said, used):
    world.agent.works.append((Delta("Alice, Bob"), said))
    job = await world.executing()

    assert (await world.becomes(job.job_id, "complete")).usage == used


async def test_nul_and_lone_surrogates_of_a_model_do_no_harm(world):
    world.agent.evaluations.append((Verdict("accept", "a\0b\ud800c", "\0", 1_000),))
    world.agent.works.append((Delta("x\0y"), Delta("\udfff"), Usage(7, 3)))

    job = await world.executing()
    job = await world.becomes(job.job_id, "complete")

    assert job.reason == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    assert job.result == "x\N{REPLACEMENT CHARACTER}y\N{REPLACEMENT CHARACTER}"


async def test_nul_and_lone_surrogates_in_a_rejection_do_no_harm(world):
    world.agent.evaluations.append((Verdict("reject", "a\0b\ud800c", "", 0),))
    job = await world.evaluating()

    job = await world.becomes(job.job_id, "rejected")

    assert job.reason == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


async def test_each_attempts_text_is_shown_live_from_its_own_beginning(world):
    watching, go_on = asyncio.Event(), asyncio.Event()
    world.agent.works.append((watching, Delta("Al"), Delta("ice"), AgentFault("cut off")))
    world.agent.works.append((go_on, *WORK))
    job = await world.executing()
    await world.agent.calls.reaches(2)

    with world.core.worker.steps.live.watch(job.job_id) as watcher:
        watching.set()
        pieces = [await watcher.next() for _ in range(2)]
        await world.given_back()
        await world.pass_time(60)
        go_on.set()
        pieces += [await watcher.next() for _ in range(2)]

    assert pieces == [
        WorkDelta(1, 0, "Al"),
        WorkDelta(1, 2, "ice"),
        WorkDelta(2, 0, "Alice, "),
        WorkDelta(2, 7, "Bob"),
    ]


# The deadline


async def test_work_that_is_not_done_in_time_is_stopped_and_owed_back(world):
    world.agent.works.extend([(Delta("half"), asyncio.Event())] * 3)
    job = await world.executing()
    await world.agent.calls.reaches(2)

    await world.clock.pass_time(DEADLINE_S - 1)
    assert (await world.view(job.job_id)).state == "executing"
    await world.clock.pass_time(1)

    job = await world.view(job.job_id)
    assert (job.state, job.error_code) == ("failed", "deadline_exceeded")
    assert await world.debt(job.job_id) == ALL_IS_OWED
    await world.given_back()
    works = [call for call in world.agent.calls if call.kind == "work"]
    assert {call.ended for call in works} == {"stopped"}


async def test_a_step_stops_itself_when_the_deadline_comes_during_its_call(database):
    async with opened(database, JOBS__DEADLINE_S="1") as world:
        world.agent.works.extend([(AgentFault("overloaded"),), (asyncio.Event(),)])
        job = await world.executing()
        await world.agent.calls.reaches(2)
        await world.given_back()

        await world.pass_time(0.95)  # the step has 50 ms of real time left

        job = await world.becomes(job.job_id, "failed")
        assert job.error_code == "deadline_exceeded"
        assert len(world.agent.calls) == 3


async def test_work_past_its_deadline_is_not_begun(world):
    job = await world.quoted()
    await world.core.worker.drain(0)
    world.wallet.pay(job.work_invoice)
    await world.becomes(job.job_id, "executing")
    record = await world.record(job.job_id)
    world.clock.advance(DEADLINE_S)

    await world.core.worker.steps.advance(record)

    assert (await world.becomes(job.job_id, "failed")).error_code == "deadline_exceeded"
    assert [call.kind for call in world.agent.calls] == ["evaluate"]


# A model that is no longer for sale


OTHER_MODEL = json.dumps([{"id": "another"}])


async def test_without_its_model_an_evaluation_fails_and_is_owed_back(database):
    async with opened(database) as world:
        await world.core.worker.drain(0)
        job = await world.evaluating()
        clock = world.clock

    clock.advance(1)
    async with opened(database, clock=clock, MODELS=OTHER_MODEL) as world:
        job = await world.becomes(job.job_id, "failed")

        assert job.error_code == "evaluation_failed"
        assert await world.debt(job.job_id) == Debt(house=FEE)
        assert world.agent.calls == []


async def test_without_its_model_work_fails_and_is_owed_back(database):
    async with opened(database) as world:
        job = await world.quoted()
        clock, wallet = world.clock, world.wallet

    async with opened(database, clock=clock, wallet=wallet, MODELS=OTHER_MODEL) as world:
        wallet.pay(job.work_invoice)
        job = await world.becomes(job.job_id, "failed")

        assert job.error_code == "work_failed"
        assert await world.debt(job.job_id) == ALL_IS_OWED
        assert world.agent.calls == []
