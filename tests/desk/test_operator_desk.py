"""The operator's desk: what the wallet proves decides what a retry does."""

import pytest

from core.books import actions, ledger, refunds
from core.desk.operator_desk import OperatorDesk
from core.values.errors import InvalidRequest, WalletUnavailable, WrongState
from core.values.money import from_sats
from core.wallets.port import Unproven
from tests.fakes import FakeWallet
from tests.loops.fake_payer import Ending
from tests.loops.payer_world import INVOICE_MS, RULE, PayerWorld

WHY = "the customer wrote"
SILENT = Ending(None, Unproven("says the test"))


@pytest.fixture
async def world(database):
    store = await database.open()
    world = PayerWorld(store)
    yield world
    await world.check_books()
    await store.aclose()


def desk_of(world, *, payer="its own"):
    wallet = FakeWallet(world.clock)
    wallet.holds_msat = 10**9
    return OperatorDesk(
        store=world.store,
        wallet=wallet,
        payer=world.payer if payer == "its own" else payer,
        clock=world.clock,
        fee_rule=RULE,
    )


async def unknown(world, ending=SILENT):
    """A refund of which nobody knows how its payout ended."""
    refund = await world.due()
    payment_hash = await world.start(refund, ending)
    await world.serve()
    assert await world.state_of(refund) == "unknown"
    return refund, payment_hash


async def done(world):
    return [(one.action, one.subject, one.reason) for one in await world.store.read(actions.listed)]


async def test_a_payout_without_a_record_is_given_up_when_its_invoice_has_expired(world):
    refund, _ = await unknown(world)
    world.clock.advance(INVOICE_MS / 1000)

    answer = await desk_of(world).retry_refund(refund.refund_id, WHY)

    assert answer["refund"]["state"] == "due"
    assert await done(world) == [("give up", refund.refund_id, WHY)]


async def test_a_payout_without_a_record_is_only_looked_at_while_it_can_be_paid(world):
    refund, _ = await unknown(world)

    answer = await desk_of(world).retry_refund(refund.refund_id, WHY)

    assert answer["outcome"] == "looked at now"
    assert await world.state_of(refund) == "unknown"


async def test_a_payout_that_the_wallet_shows_as_made_has_arrived(world):
    refund, payment_hash = await unknown(world, Ending("pending", None))
    world.payer.turn(payment_hash, "success")

    answer = await desk_of(world).retry_refund(refund.refund_id, WHY)

    assert (answer["outcome"], answer["refund"]["state"]) == ("it has arrived", "paid")


async def test_a_payout_that_may_still_be_made_is_not_given_up(world):
    refund, _ = await unknown(world, Ending("pending", None))
    world.clock.advance(INVOICE_MS / 1000)

    with pytest.raises(WrongState):
        await desk_of(world).retry_refund(refund.refund_id, WHY)

    assert await world.state_of(refund) == "unknown"
    assert await done(world) == []


async def test_a_failed_payout_keeps_to_the_payers_own_rules(world):
    refund, _ = await unknown(world, Ending("failed", None))
    world.clock.advance(INVOICE_MS / 1000)

    await desk_of(world).retry_refund(refund.refund_id, WHY)

    assert await world.state_of(refund) == "unknown"


async def test_nothing_is_decided_of_a_payout_where_nobody_can_be_asked(world):
    refund, _ = await unknown(world)

    with pytest.raises(WalletUnavailable):
        await desk_of(world, payer=None).retry_refund(refund.refund_id, WHY)


async def test_a_withdrawal_that_never_was_is_back_on_the_balance(world):
    session_id = await world.books.session_of(await world.books.fill(from_sats(1_000)))
    await world.withdraw(session_id, 100, SILENT)
    await world.serve()
    [refund] = await world.store.read(refunds.of_account, session_id)
    world.clock.advance(INVOICE_MS / 1000)

    answer = await desk_of(world).retry_refund(refund.refund_id, WHY)

    assert answer["refund"]["state"] == "credited"
    account = await world.store.read(ledger.account, session_id)
    assert account.balance == from_sats(1_000)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
async def test_nothing_is_done_without_a_reason(world, reason):
    desk = desk_of(world)
    refund = await world.due()

    for attempt in (
        desk.retry_refund(refund.refund_id, reason),
        desk.credit_refund(refund.refund_id, "ses_x", reason),
        desk.pause(reason),
        desk.resume(reason),
    ):
        with pytest.raises(InvalidRequest):
            await attempt

    assert await done(world) == []


async def test_a_frozen_account_is_listed_and_found_by_the_check(world):
    refund = await world.due()
    desk = desk_of(world)
    assert (await desk.check_ledger())["isGood"]

    await desk.pause("odd", refund.account_id)

    assert (await desk.list_refunds())["items"][0]["frozen"] == "odd"
    checked = await desk.check_ledger()
    assert [fault["where"] for fault in checked["faults"]] == [refund.account_id]
    await desk.resume("looked at it", refund.account_id)
    assert (await desk.check_ledger())["isGood"]
    with pytest.raises(WrongState):
        await desk.resume("again", refund.account_id)


async def test_the_export_has_every_transfer_once_in_pages(world):
    session_id = await world.books.session_of(await world.books.fill())
    await world.store.write(_many, session_id, 1_100)
    desk, cursor, found = desk_of(world), "", []

    while cursor is not None:
        page = await desk.export_ledger(cursor)
        found += [item["transferId"] for item in page["items"]]
        cursor = page["nextCursor"]

    assert len(found) == len(set(found)) == 1_101


async def _many(tx, session_id, count):
    for number in range(count):
        what = ledger.Transfer(f"t{number:05}", "charge", "r", 0)
        legs = [ledger.Leg(session_id, -1), ledger.Leg(ledger.REVENUE, 1)]
        await ledger.transfer(tx, what, legs)
