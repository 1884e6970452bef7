"""Jobs in every state, put there by real transactions, and what can then happen to them.

Amounts: the evaluation fee is 21 sats, the price of the work 34 sats. A job has two invoices for
its evaluation and, once it is quoted, two for its work: the customer had one renewed.
"""

import secrets

from core.books import invoices, job_rows, jobs, ledger, lifecycle, refunds, settlement
from core.books.invoices import Invoice
from core.books.job_rows import NewJob, Quote, TokensUsed
from core.books.refunds import Debt
from core.books.settlement import Payment
from core.values.ids import new_id
from core.values.money import Msat, from_sats
from core.values.terms import FeeRule, JobTerms

NOW_MS = 1_800_000_000_000
FEE = from_sats(21)
PRICE_SATS = 34
PRICE = from_sats(PRICE_SATS)
TERMS = JobTerms(
    eval_fee=FEE,
    keeps_fee_on_reject=True,
    invoice_expiry_s=900,
    unpaid_ttl_ms=86_400_000,
    deadline_ms=600_000,
    work_calls_max=3,
    retention_ms=30 * 86_400_000,
    refund_fee=FeeRule(max_percent=1, max_min_sats=5),
)


class Books:
    """A store, and the few things that happen to jobs, each as one transaction."""

    def __init__(self, store, terms=TERMS):
        self.store = store
        self.terms = terms

    async def open(self, *, fee=FEE):
        """A job that waits for its fee, or is evaluated at once where that is free."""
        job_id = new_id("job")
        new = NewJob(
            job_id=job_id,
            token_id=bytes(32),
            client="192.0.2.1",
            request="Sort these names.",
            metadata=None,
            model_id="offline",
            max_price_sats=None,
            eval_fee=fee,
            wait_until_ms=NOW_MS + self.terms.unpaid_ttl_ms,
        )
        invoice = self.invoice(job_id, "eval", fee) if fee else None
        await self.store.write(lifecycle.open_job, new, invoice, now_ms=NOW_MS)
        return job_id

    def invoice(self, job_id, purpose, amount):
        """A fresh invoice, not yet recorded."""
        return Invoice(
            payment_hash=secrets.token_hex(32),
            account_id=job_id,
            purpose=purpose,
            bolt11="lnbcrt1",
            amount=amount,
            state="open",
            created_at_ms=NOW_MS,
            expires_at_ms=NOW_MS + 900_000,
            paid_at_ms=None,
        )

    async def renew(self, job_id, purpose, amount):
        """One more invoice for the same thing."""
        await self.store.write(_add_invoice, self.invoice(job_id, purpose, amount))

    async def has_bill(self, job_id, purpose):
        bills = await self.store.read(invoices.of_account, job_id)
        return any(bill.purpose == purpose for bill in bills)

    async def pay(self, job_id, purpose, *, amount=None):
        """Pay an invoice of the job that was not paid before; whether it was booked."""
        bills = await self.store.read(invoices.of_account, job_id)
        unpaid = [bill for bill in bills if bill.purpose == purpose and bill.state != "paid"]
        bill = unpaid[0]
        return await self.settle(bill.payment_hash, bill.amount if amount is None else amount)

    async def settle(self, payment_hash, amount, *, now_ms=NOW_MS):
        payment = Payment(payment_hash, Msat(amount))
        return await self.store.write(settlement.settle, payment, self.terms, now_ms)

    async def begin_evaluation(self, job_id):
        """A worker counts its call."""
        job = await self.record(job_id)
        assert await self.store.write(job_rows.count_eval_call, job)

    async def quote(self, job_id):
        """The verdict is yes, the price is kept and shown. Whether the job moved."""
        job = await self.record(job_id)
        quote = Quote(PRICE_SATS, input_tokens=5, output_tokens=100, expires_at_ms=0)
        if not await self.store.write(job_rows.keep_quote, job, quote, "A small task.", NOW_MS):
            return False
        invoice = self.invoice(job_id, "work", PRICE)
        return await self.store.write(lifecycle.quote, job, invoice, self.terms, NOW_MS)

    async def reject(self, job_id):
        job = await self.record(job_id)
        return await self.store.write(lifecycle.reject, job, "Not my trade.", self.terms, NOW_MS)

    async def complete(self, job_id):
        job = await self.record(job_id)
        used = TokensUsed(5, 90)
        return await self.store.write(
            lifecycle.complete, job, "Alice, Bob", used, terms=self.terms, now_ms=NOW_MS
        )

    async def fail(self, job_id, code):
        job = await self.record(job_id)
        return await self.store.write(lifecycle.fail, job, code, self.terms, NOW_MS)

    async def cancel(self, job_id):
        return await self.store.write(lifecycle.cancel, job_id, self.terms, NOW_MS)

    async def record(self, job_id):
        return await self.store.read(job_rows.record, job_id)

    async def view(self, job_id):
        return await self.store.read(jobs.view, job_id)

    async def versions(self, job_id):
        return await self.store.read(jobs.versions_after, job_id, 0)

    async def debt(self, job_id):
        """What is owed back to this job, in all its refunds."""
        rows = await self.store.read(refunds.of_account, job_id)
        return Debt(
            house=Msat(sum(row.debt.house for row in rows)),
            own=Msat(sum(row.debt.own for row in rows)),
        )

    async def money_in(self, job_id):
        """All that was ever paid for this job."""
        return sum(entry.amount for entry in await self.entries(job_id) if entry.amount > 0)

    async def earned(self, job_id):
        """What went from this job to revenue."""
        return -sum(entry.amount for entry in await self.entries(job_id) if entry.kind == "charge")

    async def entries(self, job_id):
        return await self.store.read(ledger.page, job_id, before=None, limit=100)

    async def in_state(self, state):
        """A job in this state, brought there the usual way; `failed` is a work that failed."""
        job_id = await self.open()
        await self.renew(job_id, "eval", FEE)
        if state == "awaiting_eval_payment":
            return job_id
        assert await self.pay(job_id, "eval")
        await self.begin_evaluation(job_id)
        if state == "evaluating":
            return job_id
        if state == "rejected":
            assert await self.reject(job_id)
            return job_id
        assert await self.quote(job_id)
        await self.renew(job_id, "work", PRICE)
        if state == "awaiting_work_payment":
            return job_id
        assert await self.pay(job_id, "work")
        if state == "complete":
            assert await self.complete(job_id)
        if state == "failed":
            assert await self.fail(job_id, "work_failed")
        return job_id


async def _add_invoice(tx, invoice):
    await invoices.add(tx, invoice, client="192.0.2.1")
    await jobs.new_version(tx, invoice.account_id, NOW_MS)
