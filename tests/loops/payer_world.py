"""Debts that are paid out by the payer, on a clock that only the test moves."""

import secrets

from core.books import ledger, payouts, processes, refunds
from core.books.audit import audit
from core.loops.payer import TAKEN_MS, PayerLoop
from core.store.bulletin import Bulletin
from core.values.bolt11 import decode
from core.values.destinations import Target
from core.values.ids import is_id
from core.values.money import from_sats
from core.values.terms import FeeRule, RefundTerms
from tests.books.paid_jobs import PRICE
from tests.books.paid_sessions import SessionBooks
from tests.hand_clock import HandClock
from tests.loops.fake_payer import FakePayer, invoice_of

RULE = FeeRule(max_percent=1, max_min_sats=5)
INVOICE_MS = 3_600_000
DAY_S = 86_400.0


class Killed(BaseException):
    """The process is gone, between two steps."""


class Mortal:
    """A store and a wallet whose process dies before or after the call of a chosen number."""

    def __init__(self, store, payer, *, dies_at=0):
        self._store = store
        self._payer = payer
        self._steps_left = dies_at

    @property
    def has_died(self):
        return self._steps_left < 0

    async def write(self, fn, *args, **kwargs):
        return await self._lives_through(self._store.write, fn, *args, **kwargs)

    async def read(self, fn, *args, **kwargs):
        return await self._store.read(fn, *args, **kwargs)

    async def fee_reserve(self, bolt11):
        return await self._lives_through(self._payer.fee_reserve, bolt11)

    async def balance(self):
        return await self._payer.balance()

    async def pay(self, bolt11, *, extra):
        return await self._lives_through(self._payer.pay, bolt11, extra=extra)

    async def outcome(self, payment_hash):
        return await self._lives_through(self._payer.outcome, payment_hash)

    async def _lives_through(self, call, *args, **kwargs):
        self._step()
        result = await call(*args, **kwargs)
        self._step()
        return result

    def _step(self):
        self._steps_left -= 1
        if self._steps_left == 0:
            self._steps_left = -1
            raise Killed


class PayerWorld:
    """Books, a wallet, and a payer of which as many processes may run as the test likes."""

    def __init__(self, store, *, house_fee_sats_per_day=10_000, clock=None):
        self.store = store
        self.books = SessionBooks(store)
        self.clock = clock or HandClock()
        self.payer = FakePayer()
        self.bulletin = store.bulletin
        self.terms = RefundTerms(10, from_sats(house_fee_sats_per_day), RULE)
        self.loop = self.new_loop()

    def new_loop(self, *, store=None, payer=None):
        return PayerLoop(
            store or self.store,
            self.bulletin if store is None else Bulletin(),
            payer or self.payer,
            self.clock,
            self.terms,
            secrets.token_hex(8),
        )

    async def due(self):
        """What the house owes of a job that failed: fee and price, 55 sats."""
        job_id = await self.books.in_state("failed")
        return await self.refund_of(job_id)

    async def own_due(self):
        """What is owed of a job whose work was paid twice: 34 sats, which pay their own way."""
        job_id = await self.books.in_state("executing")
        assert await self.books.pay(job_id, "work", amount=PRICE)
        return await self.refund_of(job_id)

    async def refund_of(self, job_id):
        """The newest refund of a job."""
        *_, newest = await self.store.read(refunds.of_account, job_id)
        return newest

    def target(self, amount, text=None):
        """An invoice that lives for an hour; of the fake wallet's world unless one is given."""
        payment_hash = decode(text).payment_hash if text else secrets.token_hex(32)
        return Target(
            destination=text or invoice_of(payment_hash),
            bolt11=text or invoice_of(payment_hash),
            payment_hash=payment_hash,
            amount=amount,
            expires_at_ms=self.clock.now_ms() + INVOICE_MS,
        )

    async def start(self, refund, *endings):
        """Send a due refund to a fresh invoice; return its hash. The wallet follows the script."""
        target = self.target(refund.amount)
        self.payer.endings[target.payment_hash] = list(endings)
        return await self.start_to(refund, target)

    async def start_to(self, refund, target):
        await self.store.write(payouts.start_refund, refund, target, RULE, self.clock.now_ms())
        return target.payment_hash

    async def withdraw(self, session_id, sats, *endings):
        """Withdraw from a session with a fee cap of 5 sats; return the invoice's hash."""
        target = self.target(from_sats(sats))
        self.payer.endings[target.payment_hash] = list(endings)
        await self.store.write(
            payouts.start_withdrawal, session_id, target, from_sats(5), self.clock.now_ms()
        )
        return target.payment_hash

    async def serve(self, loop=None):
        """Let the payer do all that is due now."""
        while await self._is_due():
            await (loop or self.loop).serve_due()

    async def serve_after(self, seconds):
        self.clock.advance(seconds)
        await self.serve()

    async def serve_taken(self):
        """Let the payer do what a dead process had taken."""
        await self.serve_after(TAKEN_MS / 1000)

    async def hurry(self):
        """Let everything be looked at now, whenever its time would be."""
        await self.store.write(_hurry)

    async def see(self, loop):
        """This process lives."""
        await self.store.write(processes.see, loop.process_id, self.clock.now_ms())

    async def state_of(self, refund):
        return (await self.store.read(refunds.get, refund.refund_id)).state

    async def refunds_of(self, account_id):
        """State, amount and fee of an account's refunds, oldest first."""
        rows = await self.store.read(refunds.of_account, account_id)
        return [(row.state, row.amount, row.fee) for row in rows]

    async def check_books(self):
        """The books are balanced, and what they say of each payout is what the wallet did."""
        assert await self.store.read(audit) == []
        for payment_hash, state in (await self.store.read(_states)).items():
            outflows = self.payer.outflows.count(payment_hash)
            assert outflows == 1 if state == "paid" else outflows == 0 or state == "begun"
        came_in, went_out, in_wallet, set_aside, in_suspense = await self.store.read(_sums)
        assert in_wallet == came_in - went_out
        assert in_suspense == set_aside

    async def _is_due(self):
        due_ms = await self.store.read(payouts.next_look_ms)
        return due_ms is not None and due_ms <= self.clock.now_ms()


async def _hurry(tx):
    await tx.run("UPDATE payouts SET look_at_ms = 0")


async def _states(tx):
    rows = await tx.all("SELECT payment_hash, state FROM payouts")
    return {row["payment_hash"]: row["state"] for row in rows}


async def _sums(tx):
    """What came in, what went out, and where the books say that it is."""
    [came_in] = await tx.all(
        "SELECT CAST(COALESCE(SUM(-e.amount_msat), 0) AS BIGINT) AS msat FROM entries e"
        " WHERE e.account_id = 'wallet' AND e.transfer_id LIKE 'settle:%'"
    )
    rows = await tx.all(
        "SELECT p.account_id, p.state, p.amount_msat, p.own_fee_msat, r.fee_msat"
        " FROM payouts p JOIN refunds r ON r.refund_id = p.refund_id"
    )
    paid = [row["amount_msat"] + row["fee_msat"] for row in rows if row["state"] == "paid"]
    aside = [
        row["amount_msat"] + row["own_fee_msat"]
        for row in rows
        if row["state"] in {"ready", "begun"} and is_id("ses", row["account_id"])
    ]
    wallet = await ledger.house_balance(tx, ledger.WALLET)
    suspense = await ledger.house_balance(tx, ledger.SUSPENSE)
    return came_in["msat"], sum(paid), -wallet, sum(aside), suspense
