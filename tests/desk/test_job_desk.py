"""The desk for jobs: orders, limits, renewing and cancelling."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.books import invoices
from core.books.refunds import Debt
from core.desk.job_desk import JobOrder
from core.values.errors import (
    Forbidden,
    InvalidRequest,
    NotFound,
    PriceAboveMaximum,
    QueueFull,
    RateLimited,
    ShuttingDown,
    WalletUnavailable,
    WrongState,
)
from core.values.money import Msat
from core.values.tokens import attenuate
from tests.conftest import Database
from tests.desk.crowd import fill_the_queue
from tests.fakes import ACCEPTED
from tests.hand_clock import START_MS
from tests.world import ALICE, BOB, REQUEST, TTL_S, World, opened

FEE, PRICE = Msat(21_000), Msat(15_000)
HOUR_S = 3_600


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with opened(database) as world:
        yield world


async def count(world, table):
    return await world.store.read(_count, table)


async def _count(tx, table):
    row = await tx.one(f"SELECT COUNT(*) AS n FROM {table}")
    return row["n"]


# Orders


async def test_an_order_is_a_job_with_the_invoice_of_its_evaluation(world):
    job, _ = await world.order(metadata={"order": "7"}, max_price_sats=40)

    assert (job.state, job.version, job.request) == ("awaiting_eval_payment", 1, REQUEST)
    assert (job.eval_invoice.amount, job.eval_invoice.purpose) == (FEE, "eval")
    assert job.metadata == {"order": "7"}
    assert await world.view(job.job_id) == job


async def test_an_order_that_is_too_long_for_the_model_makes_no_invoice(world):
    with pytest.raises(InvalidRequest) as refusal:
        await world.order("x" * (4 * 32_768 + 1))

    assert refusal.value.pointer == "/request"
    assert world.wallet.journal == []


async def test_a_maximum_below_every_price_is_refused_at_once(world):
    with pytest.raises(PriceAboveMaximum):
        await world.order(max_price_sats=9)

    assert world.wallet.journal == []
    await world.order(max_price_sats=10)


async def test_an_order_without_a_wallet_leaves_nothing_behind(world):
    world.wallet.is_down = True

    with pytest.raises(WalletUnavailable):
        await world.order()

    assert (await count(world, "jobs"), await count(world, "accounts")) == (0, 0)


async def test_while_the_server_stops_no_order_is_taken(world):
    job, token = await world.order()
    await world.core.drain(0)

    with pytest.raises(ShuttingDown):
        await world.order()
    with pytest.raises(ShuttingDown):
        await world.jobs.renew_invoice(job.job_id, token, client=ALICE)


async def test_an_order_is_refused_while_too_many_jobs_wait_for_a_worker(world):
    await world.store.write(fill_the_queue, START_MS + 10**9)

    with pytest.raises(QueueFull):
        await world.order()

    assert world.wallet.journal == []


async def test_what_the_customer_can_cure_is_said_before_that_the_queue_is_full(database):
    async with opened(database, LIMITS__OPEN_INVOICES_PER_CLIENT="1") as world:
        job, token = await world.order()
        await world.store.write(fill_the_queue, START_MS + 10**9)
        world.core.gate.close()

        with pytest.raises(InvalidRequest):
            await world.order("x" * (4 * 32_768 + 1))
        with pytest.raises(InvalidRequest):
            await world.order(refund_to="nowhere")
        with pytest.raises(PriceAboveMaximum):
            await world.order(max_price_sats=9)
        with pytest.raises(RateLimited):
            await world.order()
        with pytest.raises(RateLimited):
            await world.jobs.renew_invoice(job.job_id, token, client=ALICE)
        with pytest.raises(ShuttingDown):
            await world.order(client=BOB)


async def test_a_free_evaluation_is_refused_to_who_had_enough_before_the_queue_is_looked_at(
    database,
):
    settings = {"PRICING__EVAL_FEE_SATS": "0", "LIMITS__FREE_EVALUATIONS_PER_HOUR": "1"}
    async with opened(database, **settings) as world:
        job, _ = await world.order()
        await world.becomes(job.job_id, "awaiting_work_payment")
        await world.store.write(fill_the_queue, START_MS + 10**9)

        with pytest.raises(RateLimited):
            await world.order()
        with pytest.raises(QueueFull):
            await world.order(client=BOB)

        assert await count(world, "free_uses") == 1


# Limits


async def test_a_client_with_too_many_open_invoices_gets_no_more(database):
    async with opened(database, LIMITS__OPEN_INVOICES_PER_CLIENT="2") as world:
        job, token = await world.order()
        await world.order()

        with pytest.raises(RateLimited) as refusal:
            await world.order()
        with pytest.raises(RateLimited):
            await world.jobs.renew_invoice(job.job_id, token, client=ALICE)

        assert refusal.value.retry_after_s == 60
        await world.order(client=BOB)
        assert len(world.wallet.journal) == 3


@pytest.mark.parametrize("how", ["pays", "cancels", "waits"])
async def test_who_pays_cancels_or_waits_may_order_again(database, how):
    async with opened(database, LIMITS__OPEN_INVOICES_PER_CLIENT="1") as world:
        job, token = await world.order()
        match how:
            case "pays":
                world.wallet.pay(job.eval_invoice)
                await world.becomes(job.job_id, "evaluating")
            case "cancels":
                await world.jobs.cancel_job(job.job_id, token)
            case "waits":
                world.clock.advance(900)

        await world.order()


async def test_a_storm_of_orders_opens_no_more_than_allowed(database):
    async with opened(database, LIMITS__OPEN_INVOICES_PER_CLIENT="3") as world:
        outcomes = await asyncio.gather(*(world.order() for _ in range(10)), return_exceptions=True)

        assert await world.store.read(invoices.count_open, ALICE, START_MS) == 3
        refused = [outcome for outcome in outcomes if isinstance(outcome, RateLimited)]
        assert len(refused) == 7


async def test_a_storm_of_renewals_opens_no_more_than_allowed(database):
    async with opened(database, LIMITS__OPEN_INVOICES_PER_CLIENT="3") as world:
        job, token = await world.order()

        await asyncio.gather(
            *(world.jobs.renew_invoice(job.job_id, token, client=ALICE) for _ in range(10)),
            return_exceptions=True,
        )

        assert await world.store.read(invoices.count_open, ALICE, START_MS) == 3


async def test_free_evaluations_begin_at_once_and_are_counted_by_the_hour(database):
    free = {"PRICING__EVAL_FEE_SATS": "0", "LIMITS__FREE_EVALUATIONS_PER_HOUR": "2"}
    async with opened(database, **free) as world:
        job, _ = await world.order()
        assert (job.state, job.eval_invoice) == ("evaluating", None)
        world.clock.advance(60)
        await world.order()

        with pytest.raises(RateLimited) as refusal:
            await world.order()
        assert refusal.value.retry_after_s == HOUR_S - 60
        assert await count(world, "jobs") == 2
        await world.order(client=BOB)

        world.clock.advance(HOUR_S - 60)
        await world.order()
        with pytest.raises(RateLimited):
            await world.order()


async def test_a_job_after_a_free_evaluation_costs_its_price_only(database):
    async with opened(database, PRICING__EVAL_FEE_SATS="0") as world:
        job, _ = await world.order()
        quoted = await world.becomes(job.job_id, "awaiting_work_payment")
        world.wallet.pay(quoted.work_invoice)
        await world.becomes(job.job_id, "complete")

        assert await world.revenue() == PRICE


# Renewing


async def test_a_renewed_invoice_asks_the_same_and_the_old_one_still_counts(world):
    job, token = await world.order()

    renewed = await world.jobs.renew_invoice(job.job_id, token, client=ALICE)
    world.wallet.pay(job.eval_invoice)

    quoted = await world.becomes(job.job_id, "awaiting_work_payment")
    assert renewed.payment_hash != job.eval_invoice.payment_hash
    assert (renewed.amount, renewed.purpose) == (FEE, "eval")
    assert quoted.eval_invoice.payment_hash == job.eval_invoice.payment_hash


async def test_who_pays_both_invoices_gets_the_second_back(world):
    job = await world.quoted()
    record = await world.record(job.job_id)
    assert record.state == "awaiting_work_payment"
    token = world.tokens[job.job_id]
    renewed = await world.jobs.renew_invoice(job.job_id, token, client=ALICE)
    assert (renewed.amount, renewed.purpose) == (PRICE, "work")

    world.wallet.pay(job.work_invoice)
    world.wallet.pay(renewed)

    await world.becomes(job.job_id, "complete")
    assert await world.hears_of_debt(job.job_id) == Debt(own=PRICE)
    assert await world.revenue() == FEE + PRICE


async def test_a_renewed_invoice_is_shown_from_then_on(world):
    job, token = await world.order()
    world.clock.advance(1)

    renewed = await world.jobs.renew_invoice(job.job_id, token, client=ALICE)

    seen = await world.view(job.job_id)
    assert seen.eval_invoice == renewed
    assert seen.version == 2
    assert renewed.expires_at_ms == START_MS + 901_000


async def test_a_renewal_does_not_lengthen_the_wait(world):
    job, token = await world.order()
    await world.pass_time(TTL_S - 1)
    await world.jobs.renew_invoice(job.job_id, token, client=ALICE)

    await world.pass_time(1)

    assert (await world.view(job.job_id)).error_code == "eval_unpaid"


async def test_a_job_that_waits_for_no_payment_has_no_invoice_to_renew(world):
    world.agent.evaluations.append((asyncio.Event(), ACCEPTED))
    job, token = await world.order()
    world.wallet.pay(job.eval_invoice)
    await world.becomes(job.job_id, "evaluating")

    with pytest.raises(WrongState):
        await world.jobs.renew_invoice(job.job_id, token, client=ALICE)


# Cancelling and the right to it


async def test_a_cancel_is_seen_at_once_and_again_is_no_change(world):
    job, token = await world.order()

    first = await world.jobs.cancel_job(job.job_id, token)
    again = await world.jobs.cancel_job(job.job_id, token)

    assert (first.state, first.error_code) == ("failed", "cancelled")
    assert again == first


async def test_work_that_is_paid_for_cannot_be_cancelled(world):
    world.agent.works.append((asyncio.Event(),))
    job = await world.executing()

    with pytest.raises(WrongState):
        await world.jobs.cancel_job(job.job_id, world.tokens[job.job_id])

    assert (await world.view(job.job_id)).state == "executing"


async def test_another_jobs_token_moves_nothing(world):
    mine, _ = await world.order()
    _, foreign = await world.order()

    with pytest.raises(NotFound):
        await world.jobs.cancel_job(mine.job_id, foreign)
    with pytest.raises(NotFound):
        await world.jobs.renew_invoice(mine.job_id, foreign, client=BOB)

    assert (await world.view(mine.job_id)).version == 1


async def test_a_token_that_may_only_read_moves_nothing(world):
    job, token = await world.order()
    narrow = world.bearer(attenuate(token.token.raw, "rights=read"))

    with pytest.raises(Forbidden):
        await world.jobs.cancel_job(job.job_id, narrow)

    assert (await world.view(job.job_id)).state == "awaiting_eval_payment"


async def test_an_order_names_the_token_and_the_job_that_go_together(world):
    opened_job = await world.jobs.request_job(JobOrder(REQUEST), client=ALICE)

    token = world.bearer(opened_job.token)

    record = await world.record(opened_job.job.job_id)
    assert record.token_id == token.token.token_id
