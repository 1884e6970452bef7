"""Joining in the books: where everything of the taker's lies then, and what stands in the way."""

import asyncio
import secrets

import pytest

from core.books import (
    freezes,
    inbox,
    invoices,
    job_rows,
    joining,
    ledger,
    lifecycle,
    links,
    payouts,
    people,
    session_jobs,
    sessions,
    settlement,
)
from core.books.audit import Fault, audit
from core.books.inbox import Event
from core.books.ledger import Leg, Transfer
from core.books.payouts import Target
from core.books.settlement import Payment
from core.values.errors import WrongState
from core.values.ids import new_id
from core.values.mail import Inbound, Peer, Text
from core.values.money import NOTHING, Msat, from_sats
from tests.books.paid_jobs import FEE, NOW_MS, PRICE, PRICE_SATS, TERMS
from tests.books.paid_sessions import SessionBooks, budget

pytestmark = pytest.mark.asyncio(loop_scope="module")

ELSEWHERE = Peer("", "", "")


@pytest.fixture
def books(shared_store):
    return SessionBooks(shared_store)


async def taken(books, maker_id, taker_id):
    """A link to which the taker has said yes."""
    code_hash = secrets.token_bytes(32)
    link = await books.store.write(links.add, maker_id, code_hash, place=ELSEWHERE, now_ms=NOW_MS)
    assert await books.store.write(links.take, link, taker_id, NOW_MS)
    return await books.store.read(links.get, link.link_id, NOW_MS)


async def join(books, maker_id, taker_id):
    link = await taken(books, maker_id, taker_id)
    assert await confirmed(books, link)
    return link


async def _confirm(tx, link_id):
    return await joining.join(tx, await links.get(tx, link_id, NOW_MS), NOW_MS)


async def confirmed(books, link):
    """Whether the maker's yes has joined the two."""
    return await books.store.write(_confirm, link.link_id)


async def two(books):
    """Two sessions with 1,000 sats each: their roots and ids."""
    maker, taker = await books.fill(), await books.fill()
    return maker, await books.session_of(maker), taker, await books.session_of(taker)


def text_of(peer, text):
    return Inbound(peer=peer, ext_id=secrets.token_hex(8), body=Text(text), at_ms=NOW_MS)


async def person(books, text="hello"):
    """Somebody in a chat who has written this, with a session."""
    peer = Peer("telegram", "1", secrets.token_hex(8))
    assert await books.store.write(inbox.take, text_of(peer, text), "en", NOW_MS)
    return peer, (await books.store.read(people.contact, peer)).session_id


async def read(books, session_id):
    """All unread mail of a person, in its order, as texts or kinds of events."""
    found = []
    while (mail := await books.store.read(inbox.next_mail, session_id, NOW_MS)) is not None:
        item = mail.item
        found.append(item.what if isinstance(item, Event) else item.body.text)
        assert await books.store.write(inbox.done, mail)
    return found


# Money


async def test_the_balance_moves_once_and_the_books_add_up(books):
    _, maker_id, _, taker_id = await two(books)
    link = await join(books, maker_id, taker_id)

    again = await confirmed(books, link)

    assert not again
    assert await books.on_account(maker_id) == from_sats(2_000)
    assert await books.on_account(taker_id) == 0
    assert await books.store.read(audit) == []


async def test_two_makers_who_confirm_at_once_get_the_money_once(books):
    _, first_id, _, taker_id = await two(books)
    second_id = await books.session_of(await books.fill())
    one, other = await taken(books, first_id, taker_id), await taken(books, second_id, taker_id)

    assert await asyncio.gather(confirmed(books, one), confirmed(books, other)) == [True, False]

    assert await books.on_account(second_id) == from_sats(1_000)
    assert await books.store.read(audit) == []


async def test_the_audit_finds_money_on_an_account_that_was_joined(books):
    _, maker_id, _, taker_id = await two(books)
    await join(books, maker_id, taker_id)
    there = [Leg(maker_id, Msat(-5)), Leg(taker_id, Msat(5))]
    back = [Leg(taker_id, Msat(-5)), Leg(maker_id, Msat(5))]

    await books.store.write(ledger.transfer, Transfer(f"a{taker_id}", "transfer", "", 1), there)
    found = await books.store.read(audit)
    await books.store.write(ledger.transfer, Transfer(f"b{taker_id}", "transfer", "", 1), back)

    assert found == [Fault("a session that was joined to another has nothing", taker_id)]


async def test_a_late_payment_credits_whoever_survives_two_joins(books):
    _, first_id, _, second_id = await two(books)
    third_id, _ = await books.wait_for_deposit()
    [bill] = await books.store.read(invoices.of_account, third_id)
    await join(books, second_id, third_id)
    await join(books, first_id, second_id)

    payment = Payment(bill.payment_hash, bill.amount)
    assert await books.store.write(settlement.settle, payment, TERMS, NOW_MS)

    assert await books.on_account(first_id) == from_sats(3_000)
    assert await books.store.read(sessions.survivor, third_id) == first_id
    assert await books.store.read(audit) == []


async def test_a_budget_of_both_counts_what_both_have_used(books):
    maker, maker_id, taker, taker_id = await two(books)
    shared = budget(100_000, "00" * 8)
    mine, theirs = await books.child(maker, shared), await books.child(taker, shared)
    await books.ask(mine)
    await books.ask(theirs)

    await join(books, maker_id, taker_id)

    assert await books.counted(theirs) == await books.counted(mine) == [(0, 2 * FEE)]


async def test_what_was_held_of_a_budget_is_counted_when_its_job_ends(books):
    _, maker_id, taker, taker_id = await two(books)
    child = await books.child(taker, budget(100_000))
    job_id = await books.work_on(child, "executing")
    await join(books, maker_id, taker_id)

    await books.store.write(
        lifecycle.fail, await books.record(job_id), "work_failed", TERMS, NOW_MS
    )

    assert await books.counted(child) == [(0, 0)]
    assert await books.on_account(maker_id) == from_sats(2_000)


# Jobs that a worker has in hand


async def test_a_running_jobs_refund_goes_to_the_survivor_though_its_worker_read_it_before(books):
    _, maker_id, taker, taker_id = await two(books)
    job_id = await books.work_on(taker, "executing")
    in_hand = await books.record(job_id)
    await join(books, maker_id, taker_id)

    assert await books.store.write(lifecycle.fail, in_hand, "work_failed", TERMS, NOW_MS)

    assert await books.on_account(maker_id) == from_sats(2_000)
    assert await books.credited(job_id) == [FEE + PRICE]
    assert await books.store.read(audit) == []


async def test_a_price_found_before_the_join_is_paid_by_the_survivor(books):
    _, maker_id, taker, taker_id = await two(books)
    job_id = await books.ask(taker, max_price_sats=100)
    quote = job_rows.Quote(PRICE_SATS, input_tokens=5, output_tokens=100, expires_at_ms=0)
    job = await books.record(job_id)
    assert await books.store.write(job_rows.keep_quote, job, quote, "Small.", NOW_MS)
    in_hand = await books.record(job_id)
    await join(books, maker_id, taker_id)

    assert await books.store.write(session_jobs.quote, in_hand, TERMS, NOW_MS)

    assert (await books.record(job_id)).state == "executing"
    assert await books.on_account(maker_id) == Msat(from_sats(2_000) - FEE - PRICE)
    assert await books.store.read(audit) == []


async def test_a_job_asked_for_just_before_the_join_is_the_survivors(books):
    _, maker_id, taker, taker_id = await two(books)
    asked = job_rows.NewJob(
        job_id=new_id("job"),
        token_id=taker.token.token_id,
        client="192.0.2.1",
        request="Sort these names.",
        metadata=None,
        model_id="offline",
        max_price_sats=None,
        eval_fee=FEE,
        wait_until_ms=0,
        session_id=taker_id,
    )
    await join(books, maker_id, taker_id)

    await books.store.write(session_jobs.open_job, asked, taker, now_ms=NOW_MS)

    assert (await books.record(asked.job_id)).session_id == maker_id
    assert await books.on_account(maker_id) == Msat(from_sats(2_000) - FEE)


# What stands in the way


async def refused(books, link):
    with pytest.raises(WrongState):
        await books.store.write(joining.join, link, NOW_MS)
    return (await books.store.read(links.get, link.link_id, NOW_MS)).state == "taken"


async def test_a_withdrawal_on_its_way_stands_in_the_way(books):
    _, maker_id, _, taker_id = await two(books)
    link = await taken(books, maker_id, taker_id)
    target = Target(
        destination="lnbcrt1",
        bolt11="lnbcrt1",
        payment_hash=secrets.token_hex(32),
        amount=from_sats(100),
        expires_at_ms=NOW_MS + 900_000,
    )
    await books.store.write(payouts.start_withdrawal, taker_id, target, NOTHING, NOW_MS)

    assert await refused(books, link)
    assert await books.on_account(taker_id) == from_sats(900)


async def test_money_that_is_held_stands_in_the_way(books):
    _, maker_id, _, taker_id = await two(books)
    link = await taken(books, maker_id, taker_id)
    hold_id = secrets.token_hex(8)
    await books.store.write(ledger.hold, hold_id, taker_id, Msat(1), NOW_MS + 1)

    assert await refused(books, link)
    await books.store.write(ledger.post, hold_id, NOTHING, ref="", now_ms=NOW_MS)
    assert await books.store.write(joining.join, link, NOW_MS)


@pytest.mark.parametrize("side", [0, 1])
async def test_a_frozen_account_stands_in_the_way_on_either_side(books, side):
    _, maker_id, _, taker_id = await two(books)
    link = await taken(books, maker_id, taker_id)

    await books.store.write(freezes.freeze, (maker_id, taker_id)[side], "a test", NOW_MS)

    assert await refused(books, link)


@pytest.mark.parametrize("side", [0, 2])
async def test_a_closed_session_stands_in_the_way_on_either_side(books, side):
    sides = await two(books)
    link = await taken(books, sides[1], sides[3])

    await books.close(sides[side])

    assert await refused(books, link)


async def test_the_makers_yes_has_ten_minutes_from_the_takers(books):
    _, maker_id, _, taker_id = await two(books)
    link = await taken(books, maker_id, taker_id)

    late = await books.store.read(links.get, link.link_id, NOW_MS + links.LIFE_MS)

    assert late.state == "expired"
    assert not await books.store.write(joining.join, late, NOW_MS + links.LIFE_MS)


# People


async def test_the_takers_unread_mail_stands_behind_the_makers_in_its_order(books):
    maker, maker_id = await person(books, "m1")
    taker, taker_id = await person(books, "t1")
    await books.store.write(inbox.take, text_of(taker, "t2"), "en", NOW_MS)
    await books.store.write(inbox.take, text_of(maker, "m2"), "en", NOW_MS)

    await join(books, maker_id, taker_id)
    await books.store.write(inbox.take, text_of(taker, "t3"), "en", NOW_MS)

    assert await read(books, maker_id) == ["m1", "m2", "t1", "t2", "t3"]


async def test_mail_in_hand_at_the_join_has_no_effect_and_is_read_again(books):
    _, maker_id = await person(books, "m1")
    _, taker_id = await person(books, "t1")
    in_hand = await books.store.read(inbox.next_mail, taker_id, NOW_MS)

    await join(books, maker_id, taker_id)

    assert not await books.store.write(inbox.done, in_hand)
    assert await read(books, maker_id) == ["m1", "t1"]


async def test_reminders_of_the_taker_ring_at_the_survivor(books):
    _, maker_id = await person(books, "m1")
    _, taker_id = await person(books, "t1")
    await books.store.write(inbox.remind, taker_id, "expired", "ABCD", at_ms=NOW_MS)
    await join(books, maker_id, taker_id)

    await books.store.write(inbox.ring, NOW_MS, 100)

    assert await read(books, maker_id) == ["m1", "t1", "reminder"]


async def test_a_session_over_http_becomes_the_person_that_the_taker_was(books):
    maker = await books.fill()
    maker_id = await books.session_of(maker)
    peer, taker_id = await person(books, "t1")
    before = await books.store.read(people.person, taker_id)

    await join(books, maker_id, taker_id)

    after = await books.store.read(people.person, maker_id)
    assert (after.token_id, after.lang) == (before.token_id, before.lang)
    assert (await books.store.read(people.contact, peer)).session_id == maker_id
    assert await books.store.write(people.claim, "p", now_ms=NOW_MS, until_ms=NOW_MS + 1, limit=99)


async def test_nobody_escapes_a_block_by_a_join(books):
    _, maker_id = await person(books)
    _, taker_id = await person(books)
    await books.store.write(people.block, taker_id, 1)

    await join(books, maker_id, taker_id)

    assert (await books.store.read(people.person, maker_id)).is_blocked


async def test_the_takers_other_codes_are_void(books):
    _, maker_id, _, taker_id = await two(books)
    link = await books.store.write(
        links.add, taker_id, secrets.token_bytes(32), place=ELSEWHERE, now_ms=NOW_MS
    )

    await join(books, maker_id, taker_id)

    assert (await books.store.read(links.get, link.link_id, NOW_MS)).state == "expired"
