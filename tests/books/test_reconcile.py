"""The wallet's own list against the books: what they lack is booked once, to whom it belongs."""

import secrets

import pytest

from core.books import credentials, freezes, ledger, payouts, reconcile, refunds, sessions
from core.books.audit import audit
from core.books.credentials import Bearer
from core.books.ledger import FEES, OWNER, WALLET
from core.books.refunds import Debt
from core.values.caveats import read_caveats
from core.values.destinations import Target
from core.values.errors import Unauthorized
from core.values.ids import new_id
from core.values.money import Msat, from_sats
from core.values.tokens import Identifier, Token, new_token_id
from core.wallets.port import Movement
from tests.books.paid_jobs import FEE, NOW_MS, PRICE, TERMS
from tests.books.paid_sessions import SessionBooks

RICH = Msat(10**12)


class Listed(SessionBooks):
    """Books, and payments of the wallet that are compared with them."""

    async def see(self, moved, *, holds=RICH):
        return await self.store.write(
            reconcile.book, moved, wallet_holds=holds, terms=TERMS, now_ms=NOW_MS
        )

    async def house(self, account_id):
        return await self.store.read(ledger.house_balance, account_id)

    async def on_account(self, account_id):
        account = await self.store.read(ledger.account, account_id)
        return account.balance

    async def refunds_of(self, account_id):
        rows = await self.store.read(refunds.of_account, account_id)
        return [(row.state, row.amount, row.fee) for row in rows]


@pytest.fixture
async def books(database):
    store = await database.open()
    yield Listed(store)
    assert await store.read(audit) == []
    await store.aclose()


def came_in(sats=100, payment_hash=None, **marks):
    return _moved("in", sats, payment_hash, 0, marks)


def went_out(sats=100, payment_hash=None, *, fee=1_000, **marks):
    return _moved("out", sats, payment_hash, fee, marks)


def _moved(direction, sats, payment_hash, fee, marks):
    return Movement(
        direction=direction,
        payment_hash=payment_hash or secrets.token_hex(32),
        bolt11="lnbcrt1",
        amount=from_sats(sats),
        fee=Msat(fee),
        at_ms=NOW_MS,
        extra=marks,
    )


def payout_of(account_id, sats, *, refund_id=None, fee=1_000):
    name = "job" if account_id.startswith("job") else "session"
    marks = {"kind": "payout", "refund": refund_id or new_id("rfd"), name: account_id}
    return went_out(sats, fee=fee, **marks)


async def test_an_unknown_payment_is_the_owners_deposit_once(books):
    moved = came_in(500)

    assert [await books.see(moved), await books.see(moved)] == ["owner's deposit", "known"]

    assert await books.house(OWNER) == from_sats(500)
    assert await books.house(WALLET) == -from_sats(500)


async def test_what_goes_out_unknown_is_the_owners_draw_while_the_rest_covers_what_is_owed(books):
    await books.fill(from_sats(1_000))
    moved = went_out(300)

    found = [await books.see(moved, holds=from_sats(1_000)) for _ in range(2)]

    assert found == ["owner's draw", "known"]
    assert await books.house(OWNER) == -from_sats(301)


async def test_what_goes_out_of_the_customers_money_is_not_booked(books):
    await books.fill(from_sats(1_000))
    moved = went_out(300)

    assert await books.see(moved, holds=Msat(999_999)) == "uncovered"
    assert await books.house(OWNER) == 0
    assert await books.see(moved, holds=from_sats(1_000)) == "owner's draw"  # filled up meanwhile


async def test_a_payment_that_nobody_told_of_is_credited(books):
    session_id, _ = await books.wait_for_deposit(from_sats(100))
    [bill] = (await books.session(session_id)).open_invoices
    moved = came_in(100, bill.payment_hash, kind="deposit", session=session_id)

    assert [await books.see(moved), await books.see(moved)] == ["heard late", "known"]
    assert await books.on_account(session_id) == from_sats(100)


async def test_a_lost_session_is_made_again_with_its_money_and_its_token(books):
    session_id, token_id = new_id("ses"), new_token_id()
    deposit = came_in(200, kind="deposit", session=session_id, token=token_id.hex())
    topup = came_in(50, kind="topup", session=session_id)

    assert [await books.see(deposit), await books.see(topup)] == ["recovered", "recovered"]
    assert [await books.see(deposit), await books.see(topup)] == ["known", "known"]

    bearer = bearer_of(deposit, token_id)
    assert await books.store.read(credentials.standing, bearer)
    session = await books.store.read(sessions.view, session_id)
    assert (session.state, session.balance) == ("active", from_sats(250))


async def test_the_token_of_a_lost_challenge_still_needs_its_preimage(books):
    session_id, token_id = new_id("ses"), new_token_id()
    marks = {"kind": "deposit", "session": session_id, "token": token_id.hex()}
    deposit = came_in(200, **marks, challenge="yes")

    await books.see(deposit)

    with pytest.raises(Unauthorized):
        await books.store.read(credentials.standing, bearer_of(deposit, token_id))


async def test_a_top_up_of_a_session_that_is_there_is_credited_to_it(books):
    session_id = await books.session_of(await books.fill(from_sats(100)))

    assert await books.see(came_in(50, kind="topup", session=session_id)) == "recovered"

    assert await books.on_account(session_id) == from_sats(150)


async def test_all_that_was_paid_for_a_lost_job_is_owed_at_the_houses_cost(books):
    job_id = new_id("job")
    token = new_token_id()
    paid = [
        came_in(21, kind="eval", job=job_id, token=token.hex()),
        came_in(34, kind="work", job=job_id, token=token.hex()),
    ]

    assert [await books.see(moved) for moved in paid * 2] == ["recovered"] * 2 + ["known"] * 2

    job = await books.record(job_id)
    assert (job.state, job.token_id) == ("failed", token)
    assert await books.debt(job_id) == Debt(house=Msat(FEE + PRICE))
    assert (await books.view(job_id)).request is None


async def test_a_lost_payment_of_a_job_that_has_ended_is_owed(books):
    job_id = await books.in_state("complete")

    assert await books.see(came_in(34, kind="work", job=job_id)) == "recovered"

    assert await books.debt(job_id) == Debt(own=PRICE)


async def test_a_job_whose_lost_price_was_paid_asks_for_what_is_open_when_it_is_quoted_anew(books):
    job_id = await books.in_state("evaluating")
    await books.see(came_in(34, kind="work", job=job_id))

    await books.quote(job_id)

    job = await books.view(job_id)
    assert (job.state, job.work_invoice.state) == ("awaiting_work_payment", "open")
    assert await books.debt(job_id) == Debt(own=PRICE)
    assert await books.pay(job_id, "work")
    assert (await books.view(job_id)).state == "executing"


@pytest.mark.parametrize(
    "marks",
    [
        {"kind": "eval", "job": "job_nonsense"},
        {"kind": "eval"},
        {"kind": "gift", "job": new_id("job")},
        {"kind": "topup", "session": new_id("job")},
    ],
)
async def test_a_mark_that_is_not_ours_is_none(books, marks):
    assert await books.see(came_in(**marks)) == "owner's deposit"


@pytest.mark.parametrize("has_same_id", [True, False])
async def test_a_lost_payout_of_a_debt_is_booked_so_that_it_is_not_paid_twice(books, has_same_id):
    job_id = await books.in_state("failed")
    [due] = await books.store.read(refunds.of_account, job_id)
    refund_id = due.refund_id if has_same_id else new_id("rfd")
    moved = payout_of(job_id, 55, refund_id=refund_id)

    assert [await books.see(moved), await books.see(moved)] == ["recovered", "known"]

    assert await books.refunds_of(job_id) == [("paid", from_sats(55), 1_000)]
    assert (await books.store.read(refunds.get, refund_id)).state == "paid"
    assert await books.on_account(job_id) == 0
    assert await books.house(FEES) == -1_000
    assert await books.store.read(payouts.is_known, moved.payment_hash)


async def test_a_debt_that_pays_its_own_way_bears_the_fee_and_owes_the_rest(books):
    job_id = await books.in_state("complete")
    await books.see(came_in(34, kind="work", job=job_id))

    assert await books.see(payout_of(job_id, 29)) == "recovered"

    assert await books.debt(job_id) == Debt(own=from_sats(4))
    assert await books.house(FEES) == 0


async def test_a_lost_withdrawal_leaves_the_balance(books):
    session_id = await books.session_of(await books.fill(from_sats(1_000)))

    assert await books.see(payout_of(session_id, 300)) == "recovered"

    assert await books.on_account(session_id) == from_sats(699)
    assert await books.refunds_of(session_id) == [("paid", from_sats(300), 1_000)]


async def test_what_an_account_cannot_bear_is_the_owners_loss_and_freezes_it(books):
    session_id = await books.session_of(await books.fill(from_sats(100)))

    assert await books.see(payout_of(session_id, 300)) == "shortfall"

    assert await books.on_account(session_id) == 0
    assert await books.house(OWNER) == -from_sats(201)
    assert list(await books.store.read(freezes.frozen)) == [session_id]


async def test_a_payout_of_a_job_that_owes_nothing_freezes_it(books):
    job_id = await books.in_state("complete")

    assert await books.see(payout_of(job_id, 55)) == "shortfall"

    assert await books.house(OWNER) == -from_sats(56)
    assert list(await books.store.read(freezes.frozen)) == [job_id]


async def test_a_payout_that_is_under_way_is_left_to_the_payer(books):
    job_id = await books.in_state("failed")
    [due] = await books.store.read(refunds.of_account, job_id)
    target = Target("lnbcrt1", "lnbcrt1", secrets.token_hex(32), due.amount, NOW_MS + 1)
    await books.store.write(payouts.start_refund, due, target, TERMS.refund_fee, NOW_MS)
    moved = went_out(55, target.payment_hash, kind="payout", refund=due.refund_id, job=job_id)

    assert await books.see(moved) == "known"
    assert await books.refunds_of(job_id) == [("sending", from_sats(55), 5_000)]


async def test_a_payout_that_counted_as_failed_and_was_made_after_all_is_booked(books):
    job_id = await books.in_state("failed")
    [due] = await books.store.read(refunds.of_account, job_id)
    target = Target("lnbcrt1", "lnbcrt1", secrets.token_hex(32), due.amount, NOW_MS + 1)
    await books.store.write(payouts.start_refund, due, target, TERMS.refund_fee, NOW_MS)
    [taken] = await books.store.write(payouts.take_due, now_ms=NOW_MS, until_ms=NOW_MS, limit=9)
    await books.store.write(payouts.not_sent, taken, TERMS.refund_fee, NOW_MS)
    moved = went_out(55, target.payment_hash, kind="payout", refund=due.refund_id, job=job_id)

    assert await books.see(moved) == "recovered"
    assert await books.on_account(job_id) == 0


def bearer_of(deposit, token_id):
    identifier = Identifier(bytes.fromhex(deposit.payment_hash), token_id)
    return Bearer(Token(identifier, read_caveats(()), b""))
