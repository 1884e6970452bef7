"""Refunds: an id once shown stands for good, and what is due is claimed by an id of its own."""

import secrets

import pytest

from core.books import payouts, refunds
from core.books.refunds import Debt
from core.values.destinations import Target
from core.values.errors import NotFound, WrongState
from core.values.ids import new_id
from core.values.money import from_sats
from tests.books.paid_jobs import NOW_MS, TERMS, Books

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULE = TERMS.refund_fee


@pytest.fixture
def books(shared_store):
    return Books(shared_store)


async def due_of(books, job_id):
    all_refunds = await books.store.read(refunds.of_account, job_id)
    return next(refund for refund in all_refunds if refund.state == "due")


async def send(books, refund):
    """Put a due refund on its way; the payout, which nobody begins."""
    payment_hash = secrets.token_hex(32)
    target = Target("an invoice", "lnbcrt1", payment_hash, refund.amount, NOW_MS + 3_600_000)
    await books.store.write(payouts.start_refund, refund, target, RULE, NOW_MS)
    [payout] = await books.store.write(
        payouts.take_due, now_ms=NOW_MS, until_ms=NOW_MS + 1, limit=1_000
    )
    return payout


async def owe(books, job_id, sats):
    await books.store.write(refunds.owe, job_id, Debt(own=from_sats(sats)), RULE, NOW_MS)
    return await due_of(books, job_id)


async def test_a_debt_that_joins_another_is_found_under_both_ids(books):
    job_id = await books.in_state("failed")
    older = await due_of(books, job_id)
    payout = await send(books, older)
    younger = await owe(books, job_id, 100)

    await books.store.write(payouts.not_sent, payout, RULE, NOW_MS)

    joint = await books.store.read(refunds.get, older.refund_id)
    assert joint.refund_id == older.refund_id != younger.refund_id
    assert (joint.state, joint.debt.total) == ("due", from_sats(155))
    assert await books.store.read(refunds.get, younger.refund_id) == joint
    assert [refund.refund_id for refund in (await books.view(job_id)).refunds] == [older.refund_id]
    await books.store.write(forget_debts, job_id)


async def test_however_often_debts_join_every_id_is_found(books):
    job_id = await books.in_state("failed")
    first = await due_of(books, job_id)
    ids = [first.refund_id]
    for _ in range(3):
        payout = await send(books, await due_of(books, job_id))
        ids.append((await owe(books, job_id, 100)).refund_id)
        await books.store.write(payouts.not_sent, payout, RULE, NOW_MS)

    found = [await books.store.read(refunds.get, refund_id) for refund_id in ids]

    assert len(set(ids)) == 4
    assert {refund.refund_id for refund in found} == {first.refund_id}
    assert found[0].debt.total == from_sats(355)
    await books.store.write(forget_debts, job_id)


async def test_an_id_that_never_was_is_not_found(books):
    with pytest.raises(NotFound):
        await books.store.read(refunds.get, new_id("rfd"))


async def test_a_debt_that_grows_keeps_its_id_and_its_claim(books):
    job_id = await books.in_state("failed")
    before = await due_of(books, job_id)

    after = await owe(books, job_id, 100)

    assert (after.refund_id, after.claim_id) == (before.refund_id, before.claim_id)
    assert await books.store.read(refunds.claimed, before.claim_id) == after
    await books.store.write(forget_debts, job_id)


async def test_what_is_on_its_way_can_be_claimed_no_more_and_has_a_new_claim_when_due_again(books):
    job_id = await books.in_state("failed")
    due = await due_of(books, job_id)
    payout = await send(books, due)
    on_its_way = await books.store.read(refunds.get, due.refund_id)

    await books.store.write(payouts.not_sent, payout, RULE, NOW_MS)

    again = await due_of(books, job_id)
    assert on_its_way.claim_id is None
    assert again.claim_id not in {None, due.claim_id}
    assert await books.store.read(refunds.claimed, due.claim_id) is None
    assert await books.store.read(refunds.claimed, again.claim_id) == again


async def test_while_one_refund_of_a_job_is_on_its_way_no_other_is_sent(books):
    job_id = await books.in_state("failed")
    payout = await send(books, await due_of(books, job_id))
    younger = await owe(books, job_id, 100)

    with pytest.raises(WrongState):
        await send(books, younger)

    assert payout.account_id == job_id
    await books.store.write(forget_debts, job_id)


async def forget_debts(tx, job_id):
    """Debts that no money was behind would be a fault of the books to the file's other tests."""
    await tx.run("DELETE FROM payouts WHERE account_id = :job_id", job_id=job_id)
    await tx.run("DELETE FROM refunds WHERE account_id = :job_id", job_id=job_id)
