"""Random histories of money, many at once in one database, each beside its model.

A history has a seed. All take their steps in rounds, so that their transactions share commits; the
store is closed and opened again now and then, as a restart does.
"""

import asyncio
import random
import secrets
from dataclasses import replace

from core.books import decisions, ledger, payouts, reconcile, refunds
from core.books.audit import audit
from core.books.ledger import FEES, OWNER, REVENUE, SUSPENSE, WALLET
from core.books.payouts import Target
from core.values.money import Msat
from core.wallets.port import Movement
from tests.books.money_model import Job, Model
from tests.books.paid_jobs import NOW_MS, TERMS
from tests.books.paid_sessions import SessionBooks

RULE = TERMS.refund_fee
RICH = Msat(10**15)
ENDS = {
    "awaiting_eval_payment": ("cancelled", "eval_unpaid"),
    "evaluating": ("rejected", "evaluation_failed", "cancelled"),
    "awaiting_work_payment": ("quote_expired", "cancelled"),
    "executing": ("complete", "work_failed", "deadline_exceeded"),
}


class History(SessionBooks):
    """One random life of some sessions and jobs."""

    def __init__(self, store, seed):
        super().__init__(store)
        self.chance = random.Random(seed)
        self.model = Model()
        self.roots = {}
        self.sending = {}  # payment hash: (refund id, account, amount, own fee, house fee)
        self.owners = []

    async def step(self):
        steps = [self.deposit, self.order, self.owner_moves, self.see_owner_again]
        if self.model.sessions:
            steps += [self.request, self.request, self.withdraw, self.deposit_again]
        if self.model.held:
            steps += [self.answer] * 2
        if self.model.jobs:
            steps += [self.pay_job, self.pay_job, self.move_job, self.move_job, self.refund]
        if self.sending:
            steps += [self.hear_of_payout] * 3
        await self.chance.choice(steps)()
        self.model.check()

    async def deposit(self):
        root = await self.fill(Msat(sats := 1_000 * self.chance.randint(1, 500)))
        session_id = await self.session_of(root)
        self.roots[session_id] = root
        self.model.deposit(session_id, sats)

    async def deposit_again(self):
        """The wallet tells of a payment once more, which changes nothing."""
        session_id = self.any(self.model.sessions)
        payment_hash = self.roots[session_id].token.payment_hash.hex()
        assert not await self.settle(payment_hash, 1_000)

    async def request(self):
        session_id = self.any(self.model.sessions)
        msat, hold_id = self.chance.randint(1, 60_000), secrets.token_hex(8)
        fits = await self.store.write(
            ledger.hold_if_free, hold_id, session_id, Msat(msat), NOW_MS, owner=""
        )
        assert fits == (msat <= self.model.free(session_id))
        if fits:
            self.model.held[hold_id] = (session_id, msat)

    async def answer(self):
        hold_id = self.any(self.model.held)
        used = self.chance.choice([0, self.chance.randint(0, self.model.held[hold_id][1])])
        await self.store.write(ledger.post, hold_id, Msat(used), ref="r", now_ms=NOW_MS)
        self.model.charge(hold_id, used)

    async def order(self):
        self.model.jobs[await self.open()] = Job()

    async def pay_job(self):
        job_id = self.any(self.model.jobs)
        job = self.model.jobs[job_id]
        is_due = job.state.startswith("awaiting") and self.chance.random() < 0.9
        waits_for = "eval" if job.state == "awaiting_eval_payment" else "work"
        purpose = waits_for if is_due else self.chance.choice(["eval", "work"])
        if purpose == "work" and not await self.has_bill(job_id, "work"):
            return
        await self.renew(job_id, purpose, Msat(21_000 if purpose == "eval" else 34_000))
        assert await self.pay(job_id, purpose)
        self.model.pay_job(job_id, purpose)
        job.paid[purpose] += 1

    async def move_job(self):
        """What comes next in the life of a job, or one of its ends."""
        job_id = self.any(self.model.jobs)
        job = self.model.jobs[job_id]
        if job.state == "evaluating" and not job.is_evaluated:
            await self.begin_evaluation(job_id)
            job.is_evaluated = True
            return
        if job.state == "evaluating" and self.chance.random() < 0.6:
            assert await self.quote(job_id)
            job.state = "awaiting_work_payment"
            return
        if job.state not in ENDS or ("awaiting" in job.state and self.chance.random() < 0.8):
            return
        how = self.chance.choice(ENDS[job.state])
        match how:
            case "rejected":
                assert await self.reject(job_id)
            case "complete":
                assert await self.complete(job_id)
            case code:
                assert await self.fail(job_id, code)
        self.model.end_job(job_id, how)

    async def refund(self):
        """Send what is due of a job to an invoice, or credit it to a session."""
        job_id = self.any(self.model.jobs)
        rows = await self.store.read(refunds.of_account, job_id)
        due = next((row for row in rows if row.state == "due"), None)
        is_live = any(row.is_live for row in rows)
        if due is None or (is_live and self.chance.random() < 0.5):
            return
        job = self.model.jobs[job_id]
        if self.model.sessions and self.chance.random() < 0.3:
            session_id = self.any(self.model.sessions)
            total = await self.store.write(decisions.credit, due.refund_id, session_id, "x", NOW_MS)
            job.house -= due.debt.house
            job.own -= due.debt.own
            self.model.sessions[session_id] += total
            return
        if due.amount <= 0 or is_live:
            return
        target = self.target(due.amount)
        await self.store.write(payouts.start_refund, due, target, RULE, NOW_MS)
        house_fee = RULE.cap(due.debt.house) if due.debt.house else 0
        self.sending[target.payment_hash] = (job_id, due.amount, due.fee, house_fee)

    async def withdraw(self):
        session_id = self.any(self.model.sessions)
        amount = Msat(1_000 * self.chance.randint(10, 300))
        fee, target = RULE.cap(amount), self.target(amount)
        if amount + fee > self.model.free(session_id):
            return
        await self.store.write(payouts.start_withdrawal, session_id, target, fee, NOW_MS)
        self.model.sessions[session_id] -= amount + fee
        self.model.sums["suspense"] += amount + fee
        self.sending[target.payment_hash] = (session_id, amount, fee, 0)

    async def hear_of_payout(self):
        """The wallet says how a payout stands: made, not begun, not known, or failed for good."""
        payment_hash = self.any(self.sending)
        account_id, amount, own_fee, house_fee = self.sending[payment_hash]
        payout = await self.store.read(_payout, payment_hash)
        match self.chance.choice(["made", "made", "not begun", "unknown", "failed"]):
            case "made":
                fee = self.chance.randint(0, own_fee + house_fee)
                assert await self.store.write(payouts.arrived, payout, Msat(fee), RULE, NOW_MS)
                self._leave(account_id, amount, fee, own_fee)
            case "not begun" if payout.state == "ready":
                assert await self.store.write(payouts.not_sent, payout, RULE, NOW_MS)
                self._come_back(account_id, amount + own_fee)
            case "failed" if payout.state == "begun":
                await self.store.write(decisions.give_up, payout, RULE, "x", NOW_MS)
                self._come_back(account_id, amount + own_fee)
            case _:
                await self._begin(payout)
                return
        del self.sending[payment_hash]

    async def _begin(self, payout):
        """It is under way, and nothing is known of it; told again, that changes nothing."""
        await self.store.write(
            payouts.begin, payout, owner="me", house_fee_per_day=RICH, now_ms=NOW_MS
        )
        await self.store.write(
            payouts.doubtful,
            replace(payout, state="begun"),
            failed_at_ms=None,
            look_at_ms=NOW_MS,
            now_ms=NOW_MS,
        )

    def _leave(self, account_id, amount, fee, own_fee):
        borne = min(fee, own_fee)
        self.model.left(amount, fee, fee - borne)
        if account_id in self.model.sessions:
            self.model.sums["suspense"] -= amount + own_fee
            self.model.sessions[account_id] += own_fee - borne
            return
        job = self.model.jobs[account_id]
        # A debt at the house's cost arrives whole; of the rest the fee is taken.
        total = amount + borne
        by_house = min(job.house, amount)
        job.house -= by_house
        job.own -= total - by_house

    def _come_back(self, account_id, msat):
        if account_id in self.model.sessions:
            self.model.sums["suspense"] -= msat
            self.model.sessions[account_id] += msat

    async def owner_moves(self):
        """The owner puts money in, or draws some, with another program."""
        direction = self.chance.choice(["in", "out"])
        fee = Msat(0 if direction == "in" else 1_000)
        amount = Msat(1_000 * self.chance.randint(1, 100))
        moved = Movement(direction, secrets.token_hex(32), "lnbcrt1", amount, fee, NOW_MS, {})
        assert (await self._see(moved)).startswith("owner's")
        self.owners.append(moved)
        self.model.owner(amount if direction == "in" else -amount - fee)

    async def see_owner_again(self):
        if self.owners:
            assert await self._see(self.chance.choice(self.owners)) == "known"

    async def _see(self, moved):
        return await self.store.write(
            reconcile.book, moved, wallet_holds=RICH, terms=TERMS, now_ms=NOW_MS
        )

    def target(self, amount):
        return Target("lnbcrt1", "lnbcrt1", secrets.token_hex(32), amount, NOW_MS)

    def any(self, things):
        return self.chance.choice(sorted(things))

    async def compare(self):
        """Every account is what the model says."""
        for session_id, msat in self.model.sessions.items():
            account = await self.store.read(ledger.account, session_id)
            held = self.model.sessions[session_id] - self.model.free(session_id)
            assert (account.balance, account.held) == (msat, held)
        for job_id, job in self.model.jobs.items():
            assert await self.on_account(job_id) == job.needs + job.owes
            debt = await self.debt(job_id)
            assert debt.house + debt.own == job.owes


async def live(database, seeds, *, steps):
    """Run a history for each seed, all at once; the books are those of the models after it."""
    store = await database.open()
    lives = [History(store, seed) for seed in seeds]
    try:
        for number in range(steps):
            await _all(one.step() for one in lives)
            if number % 5 == 4:
                await store.aclose()
                store = await database.open()
                for one in lives:
                    one.store = store
        await _all(one.compare() for one in lives)
        assert await store.read(audit) == []
        expected = sum((one.model.sums for one in lives), start=type(lives[0].model.sums)())
        await _compare_house(store, lives)
        assert expected["in"] > 0
    finally:
        await store.aclose()


async def _all(coroutines):
    for fault in await asyncio.gather(*coroutines, return_exceptions=True):
        if fault is not None:
            raise fault


async def _compare_house(store, lives):
    def total(name):
        return sum(one.model.sums[name] for one in lives)

    found = {
        name: await store.read(ledger.house_balance, name)
        for name in (REVENUE, FEES, OWNER, SUSPENSE, WALLET)
    }
    assert found == {
        REVENUE: total("revenue"),
        FEES: total("fees"),
        OWNER: total("owner"),
        SUSPENSE: total("suspense"),
        WALLET: total("out") - total("in"),
    }


async def _payout(tx, payment_hash):
    row = await tx.one(
        "SELECT * FROM payouts WHERE payment_hash = :payment_hash", payment_hash=payment_hash
    )
    return payouts.payout_of(row)
