"""The steps of a job: what becomes of a verdict, and of work, whatever an agent says."""

import asyncio
import json

import pytest

from core.agents.port import AgentFault, BadVerdict, Delta, Usage, Verdict
from core.books.job_rows import TokensUsed
from core.books.refunds import Debt
from core.loops.live import WorkDelta
from core.values.money import Msat
from tests.fakes import ACCEPTED, WORK
from tests.hand_clock import START_MS
from tests.world import DEADLINE_S, LEASE_S, TTL_S, opened

FEE = Msat(21_000)
PRICE = Msat(15_000)
NOTHING_OWED = Debt()
ALL_IS_OWED = Debt(house=Msat(FEE + PRICE))


def accepted(tokens):
    return Verdict("accept", "A small task.", "Sorts names.", tokens)


async def retried(world, *, after):
    """Let the time until the next try pass, after each of these calls of the agent."""
    for number in after:
        await world.agent.calls.reaches(number)
        await given_back(world)
        await world.pass_time(60)


async def given_back(world):
    """Wait until the step that runs has given its lease back."""
    async with asyncio.timeout(10):
        await asyncio.gather(*world.core.worker._running)


# Evaluation


async def test_a_whole_job_from_order_to_result(world):
    job, _ = await world.order()
    assert world.agent.calls == [], "nothing reaches the agent before it is paid for"

    world.wallet.pay(job.eval_invoice)
    quoted = await world.becomes(job.job_id, "awaiting_work_payment")
    world.wallet.pay(quoted.work_invoice)
    done = await world.becomes(job.job_id, "complete")

    assert (quoted.quote.price_sats, quoted.quote.input_tokens) == (15, 5)
    assert (quoted.quote.output_tokens, quoted.work_invoice.amount) == (1_000, PRICE)
    assert quoted.quote.expires_at_ms == START_MS + TTL_S * 1000
    assert (done.result, done.usage) == ("Alice, Bob", TokensUsed(7, 3))
    assert await world.revenue() == FEE + PRICE
    assert await world.debt(job.job_id) == NOTHING_OWED
    assert [(call.kind, call.ended) for call in world.agent.calls] == [
        ("evaluate", "done"),
        ("work", "done"),
    ]


@pytest.mark.parametrize(
    ("estimate", "tokens", "price_sats"),
    [
        (-5, 1, 11),  # 10.009 sats
        (0, 1, 11),
        (1_000, 1_000, 15),  # 14.005 sats
        (4_096, 4_096, 27),  # 26.389 sats
        (10**30, 4_096, 27),
    ],
)
async def test_an_estimate_counts_as_far_as_it_can_be_true(world, estimate, tokens, price_sats):
    world.agent.evaluations.append((accepted(estimate),))

    quoted = await world.quoted()

    assert (quoted.quote.output_tokens, quoted.quote.price_sats) == (tokens, price_sats)


@pytest.mark.parametrize(
    ("on_reject", "revenue", "owed"),
    [("keep", FEE, NOTHING_OWED), ("return", 0, Debt(own=FEE))],
)
async def test_the_agents_no_ends_the_job_with_its_reason(database, on_reject, revenue, owed):
    async with opened(database, PRICING__EVAL_FEE_ON_REJECT=on_reject) as world:
        world.agent.evaluations.append((Verdict("reject", "Not my trade.", "", 0),))

        job = await world.evaluating()
        job = await world.becomes(job.job_id, "rejected")

        assert (job.reason, job.error_code, job.quote) == ("Not my trade.", None, None)
        assert await world.revenue() == revenue
        assert await world.debt(job.job_id) == owed


async def test_a_price_above_the_customers_maximum_ends_the_job_and_names_both(world):
    job, _ = await world.order(max_price_sats=14)
    world.wallet.pay(job.eval_invoice)

    job = await world.becomes(job.job_id, "rejected")

    assert job.reason == "The work would cost 15 sats, more than your maximum of 14 sats."
    assert job.work_invoice is None
    assert await world.revenue() == FEE


async def test_a_price_at_the_customers_maximum_is_quoted(world):
    job, _ = await world.order(max_price_sats=15)
    world.wallet.pay(job.eval_invoice)

    job = await world.becomes(job.job_id, "awaiting_work_payment")

    assert job.quote.price_sats == 15


async def test_an_answer_that_is_no_verdict_is_asked_for_once_more(world):
    world.agent.evaluations.append((BadVerdict("prose"),))
    job = await world.evaluating()

    await retried(world, after=[1])

    assert (await world.becomes(job.job_id, "awaiting_work_payment")).quote.price_sats == 15
    assert len(world.agent.calls) == 2


async def test_two_answers_that_are_no_verdict_end_the_evaluation(world):
    world.agent.evaluations.extend([(BadVerdict("prose"),)] * 2)
    job = await world.evaluating()

    await retried(world, after=[1])

    job = await world.becomes(job.job_id, "failed")
    assert job.error_code == "evaluation_failed"
    assert len(world.agent.calls) == 2
    assert await world.debt(job.job_id) == Debt(house=FEE)


async def test_an_evaluation_is_tried_six_times_and_then_given_up(world):
    world.agent.evaluations.extend([(AgentFault("overloaded"),)] * 9)
    job = await world.evaluating()

    await retried(world, after=[1, 2, 3, 4, 5])

    job = await world.becomes(job.job_id, "failed")
    assert job.error_code == "evaluation_failed"
    assert len(world.agent.calls) == 6
    assert await world.debt(job.job_id) == Debt(house=FEE)
    assert await world.revenue() == 0


async def test_the_sixth_try_of_an_evaluation_still_counts(world):
    world.agent.evaluations.extend([(AgentFault("overloaded"),)] * 5)
    job = await world.evaluating()

    await retried(world, after=[1, 2, 3, 4, 5])

    await world.becomes(job.job_id, "awaiting_work_payment")
    assert len(world.agent.calls) == 6


async def test_an_evaluation_that_cannot_succeed_is_not_tried_again(world):
    world.agent.evaluations.append((AgentFault("no such model", retry=False),))

    job = await world.evaluating()

    job = await world.becomes(job.job_id, "failed")
    assert job.error_code == "evaluation_failed"
    assert len(world.agent.calls) == 1


async def test_a_retry_waits_longer_each_time(world):
    world.agent.evaluations.extend([(AgentFault("overloaded"),)] * 3)
    await world.evaluating()

    for tries, waits_s in ((1, 0.5), (2, 1.0), (3, 2.0)):
        await world.agent.calls.reaches(tries)
        await given_back(world)
        await world.pass_time(waits_s - 0.001)
        assert len(world.agent.calls) == tries
        await world.pass_time(0.001)
    await world.agent.calls.reaches(4)


# The wallet fails after the verdict


async def test_a_wallet_that_is_down_after_the_verdict_costs_no_second_evaluation(world):
    job = await verdict_without_wallet(world)
    seen = await world.view(job.job_id)
    assert (seen.state, seen.quote, seen.reason) == ("evaluating", None, None)

    world.wallet.is_down = False
    await world.pass_time(60)

    quoted = await world.becomes(job.job_id, "awaiting_work_payment")
    assert (quoted.quote.price_sats, quoted.reason) == (15, "A small task.")
    assert len(world.agent.calls) == 1


async def test_a_verdict_survives_a_restart_while_the_wallet_is_down(database):
    async with opened(database) as world:
        job = await verdict_without_wallet(world)
        clock, wallet = world.clock, world.wallet

    wallet.is_down = False
    clock.advance(60)
    async with opened(database, clock=clock, wallet=wallet) as world:
        await world.pass_time(LEASE_S)  # on PostgreSQL the process before may still be alive
        quoted = await world.becomes(job.job_id, "awaiting_work_payment")

        assert quoted.quote.price_sats == 15
        assert world.agent.calls == []


async def test_a_wallet_that_stays_down_ends_the_evaluation_when_the_wait_is_over(world):
    job = await verdict_without_wallet(world)

    await world.clock.pass_time(TTL_S - 1)
    assert (await world.view(job.job_id)).state == "evaluating"
    await world.clock.pass_time(1)
    await world.clock.pass_time(1)

    job = await world.view(job.job_id)
    assert (job.state, job.error_code) == ("failed", "evaluation_failed")
    assert await world.debt(job.job_id) == Debt(house=FEE)


async def verdict_without_wallet(world):
    """A job whose verdict is there and whose invoice is not."""
    go_on = asyncio.Event()
    world.agent.evaluations.append((go_on, ACCEPTED))
    job = await world.evaluating()
    await world.agent.calls.reaches(1)
    world.wallet.is_down = True
    asked = len(world.wallet.journal)
    go_on.set()
    await world.wallet.journal.reaches(asked + 1)
    await given_back(world)
    return job


# Work


async def test_the_work_runs_within_the_limit_that_the_quote_allows(world):
    job = await world.executing()
    await world.becomes(job.job_id, "complete")

    assert world.agent.calls[-1].output_tokens_max == 4_000


async def test_work_is_tried_three_times_and_then_everything_is_owed_back(world):
    world.agent.works.extend([(Delta("half"), AgentFault("cut off"))] * 5)
    job = await world.executing()

    await retried(world, after=[2, 3])

    job = await world.becomes(job.job_id, "failed")
    assert (job.error_code, job.result) == ("work_failed", None)
    assert [call.kind for call in world.agent.calls] == ["evaluate", "work", "work", "work"]
    assert await world.debt(job.job_id) == ALL_IS_OWED
    assert await world.revenue() == 0


async def test_work_that_succeeds_at_the_third_try_is_the_result(world):
    world.agent.works.extend([(Delta("half"), AgentFault("cut off"))] * 2)
    job = await world.executing()

    await retried(world, after=[2, 3])

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
        await given_back(world)
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
    await given_back(world)
    works = [call for call in world.agent.calls if call.kind == "work"]
    assert {call.ended for call in works} == {"stopped"}


async def test_a_step_stops_itself_when_the_deadline_comes_during_its_call(database):
    async with opened(database, JOBS__DEADLINE_S="1") as world:
        world.agent.works.extend([(AgentFault("overloaded"),), (asyncio.Event(),)])
        job = await world.executing()
        await world.agent.calls.reaches(2)
        await given_back(world)

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
