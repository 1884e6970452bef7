"""What the operator may decide about refunds, and what is written down of it."""

import secrets

import pytest

from core.books import actions, decisions, freezes, metering, payouts, refunds
from core.books.audit import audit
from core.values.destinations import Target
from core.values.errors import NotFound, WrongState
from core.values.ids import new_id
from core.values.money import Msat, from_sats
from tests.books.paid_jobs import NOW_MS, TERMS
from tests.books.paid_sessions import SessionBooks

RULE = TERMS.refund_fee
WHY = "the customer wrote"
OWED = from_sats(55)


@pytest.fixture
async def books(database):
    store = await database.open()
    yield SessionBooks(store)
    assert await store.read(audit) == []
    await store.aclose()


async def due_of(books):
    job_id = await books.in_state("failed")
    [due] = await books.store.read(refunds.of_account, job_id)
    return due


async def begun(books, *, owner):
    """A refund whose payout this process has begun."""
    due = await due_of(books)
    target = Target("lnbcrt1", "lnbcrt1", secrets.token_hex(32), due.amount, NOW_MS)
    await books.store.write(payouts.start_refund, due, target, RULE, NOW_MS)
    [taken] = await books.store.write(payouts.take_due, now_ms=NOW_MS, until_ms=NOW_MS, limit=9)
    await books.store.write(
        payouts.begin, taken, owner=owner, house_fee_per_day=Msat(10**9), now_ms=NOW_MS
    )
    if owner == "":
        await books.store.write(_forget_owner)
    return due.refund_id


async def test_what_is_due_is_credited_whole_with_the_reason_in_the_ledger(books):
    due = await due_of(books)
    session_id = await books.session_of(await books.fill(from_sats(100)))

    await books.store.write(decisions.credit, due.refund_id, session_id, WHY, NOW_MS)

    assert await books.on_account(session_id) == from_sats(100) + OWED
    assert (await books.store.read(refunds.get, due.refund_id)).state == "credited"
    assert await books.store.read(_reason_of, f"credit:{due.refund_id}") == WHY
    assert [(one.action, one.subject, one.reason) for one in await done(books)] == [
        ("credit", due.refund_id, WHY)
    ]


async def test_what_is_on_its_way_is_not_credited(books):
    refund_id = await begun(books, owner="somebody")
    session_id = await books.session_of(await books.fill())

    with pytest.raises(WrongState):
        await books.store.write(decisions.credit, refund_id, session_id, WHY, NOW_MS)

    assert await done(books) == []


async def test_nothing_is_credited_to_a_session_that_is_not_there(books):
    due = await due_of(books)

    with pytest.raises(NotFound):
        await books.store.write(decisions.credit, due.refund_id, new_id("ses"), WHY, NOW_MS)


@pytest.mark.parametrize("owner", ["somebody", ""])
async def test_a_payout_that_never_was_is_taken_back(books, owner):
    refund_id = await begun(books, owner=owner)
    [found] = await books.store.read(decisions.unsettled)

    await books.store.write(decisions.give_up, found.payout, RULE, WHY, NOW_MS)

    assert (await books.store.read(refunds.get, refund_id)).state == "due"
    assert [one.action for one in await done(books)] == ["give up"]
    with pytest.raises(WrongState):
        await books.store.write(decisions.give_up, found.payout, RULE, WHY, NOW_MS)


async def test_a_payout_without_an_owner_is_taken_over(books):
    await begun(books, owner="")
    [found] = await books.store.read(decisions.unsettled)

    assert await books.store.write(payouts.take_over, found.payout, "me", NOW_MS)
    assert not await books.store.write(payouts.take_over, found.payout, "you", NOW_MS)


async def test_a_look_is_at_once(books):
    refund_id = await begun(books, owner="somebody")
    await books.store.write(decisions.look_now, refund_id, WHY, NOW_MS + 5)

    assert await books.store.read(payouts.next_look_ms) == NOW_MS + 5


async def test_what_is_due_without_a_destination_cannot_be_tried(books):
    due = await due_of(books)

    with pytest.raises(WrongState):
        await books.store.write(decisions.look_now, due.refund_id, WHY, NOW_MS)


async def test_a_frozen_session_neither_spends_nor_withdraws(books):
    root = await books.fill(from_sats(1_000))
    session_id = await books.session_of(root)
    await books.store.write(freezes.freeze, session_id, WHY, NOW_MS)
    target = Target("lnbcrt1", "lnbcrt1", secrets.token_hex(32), from_sats(100), NOW_MS)

    with pytest.raises(WrongState):
        await books.store.read(metering.spending, root)
    with pytest.raises(WrongState):
        await books.store.write(payouts.start_withdrawal, session_id, target, from_sats(5), NOW_MS)

    assert await books.on_account(session_id) == from_sats(1_000)
    assert await books.store.write(freezes.thaw, session_id)
    assert await books.store.read(metering.spending, root) == session_id


async def test_a_frozen_job_is_not_paid_back(books):
    due = await due_of(books)
    await books.store.write(freezes.freeze, due.account_id, WHY, NOW_MS)
    target = Target("lnbcrt1", "lnbcrt1", secrets.token_hex(32), due.amount, NOW_MS)

    with pytest.raises(WrongState):
        await books.store.write(payouts.start_refund, due, target, RULE, NOW_MS)

    assert (await books.store.read(refunds.get, due.refund_id)).state == "due"


async def done(books):
    return await books.store.read(actions.listed)


async def _reason_of(tx, transfer_id):
    row = await tx.one(
        "SELECT reason FROM transfers WHERE transfer_id = :transfer_id", transfer_id=transfer_id
    )
    return row["reason"]


async def _forget_owner(tx):
    await tx.run("UPDATE payouts SET owner = NULL")
