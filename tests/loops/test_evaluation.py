"""The evaluation of a job: what becomes of a verdict, whatever an agent or the wallet does."""

import asyncio

import pytest

from core.agents.port import AgentFault, BadVerdict, Verdict
from core.books.job_rows import TokensUsed
from core.books.refunds import Debt
from core.values.money import Msat
from tests.fakes import ACCEPTED
from tests.hand_clock import START_MS
from tests.world import LEASE_S, TTL_S, opened

FEE = Msat(21_000)
PRICE = Msat(15_000)
NOTHING_OWED = Debt()


def accepted(tokens):
    return Verdict("accept", "A small task.", "Sorts names.", tokens)


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

    await world.retried(after=[1])

    assert (await world.becomes(job.job_id, "awaiting_work_payment")).quote.price_sats == 15
    assert len(world.agent.calls) == 2


async def test_two_answers_that_are_no_verdict_end_the_evaluation(world):
    world.agent.evaluations.extend([(BadVerdict("prose"),)] * 2)
    job = await world.evaluating()

    await world.retried(after=[1])

    job = await world.becomes(job.job_id, "failed")
    assert job.error_code == "evaluation_failed"
    assert len(world.agent.calls) == 2
    assert await world.debt(job.job_id) == Debt(house=FEE)


async def test_an_evaluation_is_tried_six_times_and_then_given_up(world):
    world.agent.evaluations.extend([(AgentFault("overloaded"),)] * 9)
    job = await world.evaluating()

    await world.retried(after=[1, 2, 3, 4, 5])

    job = await world.becomes(job.job_id, "failed")
    assert job.error_code == "evaluation_failed"
    assert len(world.agent.calls) == 6
    assert await world.debt(job.job_id) == Debt(house=FEE)
    assert await world.revenue() == 0


async def test_the_sixth_try_of_an_evaluation_still_counts(world):
    world.agent.evaluations.extend([(AgentFault("overloaded"),)] * 5)
    job = await world.evaluating()

    await world.retried(after=[1, 2, 3, 4, 5])

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
        await world.given_back()
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
    await world.given_back()
    return job
