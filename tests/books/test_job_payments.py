"""Payments that come late, twice or too large, cancels, fees: what is earned and what is owed."""

import asyncio
from dataclasses import replace

import pytest

from core.books import invoices, job_rows, lifecycle, refunds
from core.books.audit import audit
from core.books.job_rows import TokensUsed
from core.books.refunds import Debt
from core.values.errors import NotFound, WrongState
from core.values.ids import new_id
from core.values.money import NOTHING, Msat
from tests.books.paid_jobs import FEE, NOW_MS, TERMS, Books

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTHING_OWED = Debt()


@pytest.fixture
def books(shared_store):
    return Books(shared_store)


async def money(books, job_id):
    """Money in, earned, and what is owed; the books balance."""
    assert await books.store.read(audit) == []
    return await books.money_in(job_id), await books.earned(job_id), await books.debt(job_id)


async def test_what_is_paid_above_an_evaluation_invoice_is_owed_back(books):
    job_id = await books.open()

    await books.pay(job_id, "eval", amount=42_000)

    assert (await books.view(job_id)).state == "evaluating"
    assert await money(books, job_id) == (42_000, 0, Debt(own=Msat(21_000)))


async def test_a_job_whose_invoice_was_paid_with_too_little_shows_the_one_to_pay(books):
    job_id = await books.in_state("awaiting_work_payment")

    await books.pay(job_id, "work", amount=33_999)

    job = await books.view(job_id)
    assert (job.state, job.work_invoice.state) == ("awaiting_work_payment", "open")


async def test_what_is_paid_above_a_work_invoice_is_owed_back_to_the_millisatoshi(books):
    job_id = await books.in_state("awaiting_work_payment")

    await books.pay(job_id, "work", amount=67_999)
    await books.complete(job_id)

    assert (await books.view(job_id)).state == "complete"
    assert await money(books, job_id) == (88_999, 55_000, Debt(own=Msat(33_999)))


@pytest.mark.parametrize(
    ("state", "owed"),
    [
        ("evaluating", Debt(own=Msat(42_000))),
        ("rejected", Debt(own=Msat(42_000))),
        ("awaiting_work_payment", Debt(own=Msat(42_000))),
        ("executing", Debt(own=Msat(42_000))),
        ("complete", Debt(own=Msat(42_000))),
        ("failed", Debt(house=Msat(55_000), own=Msat(42_000))),
    ],
    ids=lambda word: word if isinstance(word, str) else "",
)
async def test_a_second_payment_that_is_too_large_is_owed_back_whole(books, state, owed):
    job_id = await books.in_state(state)

    await books.pay(job_id, "eval", amount=42_000)

    assert await books.debt(job_id) == owed
    assert await books.store.read(audit) == []


async def test_a_payment_below_the_invoice_moves_nothing_and_is_owed_back(books):
    job_id = await books.open()

    assert await books.pay(job_id, "eval", amount=20_999)

    assert (await books.view(job_id)).state == "awaiting_eval_payment"
    assert await money(books, job_id) == (20_999, 0, Debt(own=Msat(20_999)))


async def test_after_a_payment_that_was_too_small_a_fresh_invoice_moves_the_job_on(books):
    job_id = await books.open()
    await books.pay(job_id, "eval", amount=20_999)
    await books.renew(job_id, "eval", FEE)

    await books.pay(job_id, "eval")

    assert (await books.view(job_id)).state == "evaluating"
    assert await money(books, job_id) == (41_999, 0, Debt(own=Msat(20_999)))


async def test_one_payment_is_booked_once_however_often_it_is_told(books):
    job_id = await books.open()
    payment_hash = (await books.view(job_id)).eval_invoice.payment_hash
    assert await books.settle(payment_hash, FEE)
    before = await books.view(job_id)

    told_again = await asyncio.gather(*(books.settle(payment_hash, FEE) for _ in range(5)))

    assert told_again == [False] * 5
    assert await books.view(job_id) == before
    assert await money(books, job_id) == (21_000, 0, NOTHING_OWED)


async def test_a_payment_of_somebody_elses_invoice_is_left_alone(books):
    assert not await books.settle("ab" * 32, FEE)
    assert await books.store.read(audit) == []


async def test_two_invoices_paid_at_once_move_the_job_once(books):
    job_id = await books.open()
    await books.renew(job_id, "eval", FEE)
    bills = await books.store.read(invoices.of_account, job_id)

    await asyncio.gather(*(books.settle(bill.payment_hash, FEE) for bill in bills))

    assert (await books.view(job_id)).state == "evaluating"
    assert await money(books, job_id) == (42_000, 0, Debt(own=Msat(21_000)))


async def test_a_payment_after_the_expiry_of_its_invoice_counts_while_the_job_waits(books):
    job_id = await books.open()
    bill = (await books.view(job_id)).eval_invoice

    paid_at_ms = bill.expires_at_ms + 3_600_000
    await books.settle(bill.payment_hash, FEE, now_ms=paid_at_ms)

    assert (await books.view(job_id)).state == "evaluating"
    assert await money(books, job_id) == (21_000, 0, NOTHING_OWED)


@pytest.mark.parametrize("code", ["eval_unpaid", "cancelled"])
async def test_a_payment_for_a_job_that_has_ended_unpaid_is_owed_back(books, code):
    job_id = await books.open()
    await books.fail(job_id, code)

    assert await books.pay(job_id, "eval")

    job = await books.view(job_id)
    assert (job.state, job.error_code) == ("failed", code)
    assert await money(books, job_id) == (21_000, 0, Debt(own=Msat(21_000)))


@pytest.mark.parametrize("code", ["quote_expired", "cancelled"])
async def test_the_work_paid_too_late_is_owed_back_and_the_fee_is_kept(books, code):
    job_id = await books.in_state("awaiting_work_payment")
    await books.fail(job_id, code)

    assert await books.pay(job_id, "work")

    assert (await books.view(job_id)).state == "failed"
    assert await money(books, job_id) == (55_000, 21_000, Debt(own=Msat(34_000)))


async def test_a_second_payment_does_not_disturb_the_worker_that_evaluates(books):
    job_id = await books.in_state("evaluating")
    leased = await books.record(job_id)

    await books.pay(job_id, "eval")

    rejected = await books.store.write(lifecycle.reject, leased, "No.", TERMS, NOW_MS)
    assert rejected
    assert await money(books, job_id) == (42_000, 21_000, Debt(own=Msat(21_000)))


async def test_a_second_payment_does_not_disturb_the_worker_that_executes(books):
    job_id = await books.in_state("executing")
    leased = await books.record(job_id)

    await books.pay(job_id, "work")

    done = await books.store.write(
        lifecycle.complete, leased, "Done.", TokensUsed(1, 1), terms=TERMS, now_ms=NOW_MS
    )
    assert done
    assert await money(books, job_id) == (89_000, 55_000, Debt(own=Msat(34_000)))


async def test_what_was_paid_twice_is_owed_to_the_customer_when_our_side_fails_too(books):
    job_id = await books.in_state("executing")
    await books.pay(job_id, "eval")

    await books.fail(job_id, "work_failed")

    assert await money(books, job_id) == (
        76_000,
        0,
        Debt(house=Msat(55_000), own=Msat(21_000)),
    )


async def test_payment_and_cancel_at_the_same_moment_lose_nothing(books):
    job_id = await books.in_state("awaiting_work_payment")

    await asyncio.gather(books.pay(job_id, "work"), books.cancel(job_id), return_exceptions=True)

    job = await books.view(job_id)
    found = (job.state, *(await money(books, job_id)))
    assert found in (
        ("executing", 55_000, 0, NOTHING_OWED),
        ("failed", 55_000, 21_000, Debt(own=Msat(34_000))),
    )


@pytest.mark.parametrize(
    ("keeps_fee", "earned", "owed"),
    [(True, 21_000, NOTHING_OWED), (False, 0, Debt(own=Msat(21_000)))],
)
async def test_a_rejected_job_keeps_or_returns_its_fee_as_the_terms_say(
    shared_store, keeps_fee, earned, owed
):
    books = Books(shared_store, replace(TERMS, keeps_fee_on_reject=keeps_fee))
    job_id = await books.in_state("evaluating")

    await books.reject(job_id)

    job = await books.view(job_id)
    assert (job.state, job.reason, job.error_code) == ("rejected", "Not my trade.", None)
    assert await money(books, job_id) == (21_000, earned, owed)


async def test_a_cancel_before_the_evaluation_has_begun_gives_the_fee_back(books):
    job_id = await books.open()
    await books.pay(job_id, "eval")

    job = await books.cancel(job_id)

    assert (job.state, job.error_code) == ("failed", "cancelled")
    assert await money(books, job_id) == (21_000, 0, Debt(own=Msat(21_000)))


async def test_a_cancel_after_a_call_for_the_evaluation_has_begun_keeps_the_fee(books):
    job_id = await books.open()
    await books.pay(job_id, "eval")
    await books.begin_evaluation(job_id)

    await books.cancel(job_id)

    assert await money(books, job_id) == (21_000, 21_000, NOTHING_OWED)


@pytest.mark.parametrize("state", ["awaiting_eval_payment", "evaluating", "awaiting_work_payment"])
async def test_cancelling_again_changes_nothing(books, state):
    job_id = await books.in_state(state)
    first = await books.cancel(job_id)

    assert await books.cancel(job_id) == first
    assert await books.view(job_id) == first


@pytest.mark.parametrize("state", ["rejected", "executing", "complete", "failed"])
async def test_a_job_whose_work_is_paid_or_that_has_ended_cannot_be_cancelled(books, state):
    job_id = await books.in_state(state)
    before = await books.view(job_id)

    with pytest.raises(WrongState):
        await books.cancel(job_id)

    assert await books.view(job_id) == before


async def test_a_job_that_is_not_there_cannot_be_cancelled(books):
    with pytest.raises(NotFound):
        await books.cancel(new_id("job"))


async def test_a_job_that_has_ended_waits_for_no_invoice(books):
    job_id = await books.in_state("awaiting_work_payment")

    await books.cancel(job_id)

    bills = await books.store.read(invoices.of_account, job_id)
    assert sorted(bill.state for bill in bills) == ["closed", "closed", "closed", "paid"]


async def test_a_free_evaluation_that_is_rejected_moves_no_money(books):
    job_id = await books.open(fee=NOTHING)

    await books.reject(job_id)

    assert (await books.view(job_id)).state == "rejected"
    assert await money(books, job_id) == (0, 0, NOTHING_OWED)


async def test_the_work_after_a_free_evaluation_earns_its_price(books):
    job_id = await books.open(fee=NOTHING)
    await books.quote(job_id)
    await books.pay(job_id, "work")

    await books.complete(job_id)

    assert await money(books, job_id) == (34_000, 34_000, NOTHING_OWED)


async def test_paid_work_has_a_deadline_from_its_payment_on(books):
    job_id = await books.in_state("awaiting_work_payment")

    await books.pay(job_id, "work")

    assert (await books.view(job_id)).deadline_at_ms == NOW_MS + 600_000


async def test_work_that_comes_from_an_older_attempt_is_thrown_away(books):
    job_id = await books.in_state("executing")
    old = await books.record(job_id)
    await books.store.write(
        job_rows.lease_due, "another", now_ms=NOW_MS, until_ms=NOW_MS, limit=1_000
    )

    done = await books.store.write(
        lifecycle.complete, old, "Late.", TokensUsed(1, 1), terms=TERMS, now_ms=NOW_MS
    )

    job = await books.view(job_id)
    assert not done
    assert (job.state, job.result) == ("executing", None)


async def test_debts_of_one_job_grow_in_one_due_refund(books):
    job_id = await books.in_state("awaiting_eval_payment")
    await books.cancel(job_id)

    await books.pay(job_id, "eval")
    await books.pay(job_id, "eval")

    [due] = (await books.view(job_id)).refunds
    assert (due.state, due.debt) == ("due", Debt(own=Msat(42_000)))


@pytest.mark.parametrize(
    ("house", "own", "arrives", "fee"),
    [
        (55_000, 0, 55_000, 0),  # our fault: the house pays the routing fee
        (0, 21_000, 16_000, 5_000),  # the least fee cap is 5 sats
        (0, 21_999, 16_000, 5_999),  # whole satoshi arrive
        (0, 1_000_000, 990_000, 10_000),  # 1 percent
        (0, 1_000_100, 990_000, 10_100),  # the cap is rounded up, so what arrives down
        (0, 5_999, 0, 5_999),
        (0, 6_000, 1_000, 5_000),
        (0, 999, 0, 999),
        (55_000, 34_000, 84_000, 5_000),
        (999, 5_999, 0, 6_998),
    ],
)
async def test_what_arrives_of_a_debt_and_what_is_set_aside_for_its_fee(
    books, house, own, arrives, fee
):
    job_id = await books.open()
    debt = Debt(house=Msat(house), own=Msat(own))

    await books.store.write(refunds.owe, job_id, debt, TERMS.refund_fee, NOW_MS)

    [due] = await books.store.read(refunds.of_account, job_id)
    assert (due.amount, due.fee) == (arrives, fee)
    assert due.amount + due.fee == debt.total
    await books.store.write(forget_refund, job_id)  # it was never backed by money


async def forget_refund(tx, job_id):
    await tx.run("DELETE FROM refunds WHERE account_id = :job_id", job_id=job_id)


async def test_every_change_is_one_version_with_the_job_as_it_was(books):
    job_id = await books.in_state("complete")

    kept = await books.versions(job_id)

    assert [(job.version, job.state) for job in kept] == [
        (1, "awaiting_eval_payment"),
        (2, "awaiting_eval_payment"),  # its invoice was renewed
        (3, "evaluating"),
        (4, "awaiting_work_payment"),
        (5, "awaiting_work_payment"),
        (6, "executing"),
        (7, "complete"),
    ]
    assert kept[-1] == await books.view(job_id)
    assert [job.result for job in kept] == [None] * 6 + ["Alice, Bob"]
    assert {job.request for job in kept} == {"Sort these names."}
