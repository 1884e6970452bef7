"""What happens to a job, and to its money, in one transaction each.

All that was paid for a job lies on the job's own account until the job ends. Then what was earned
moves to revenue, and the rest is owed back. So a debt can never be lost: it is the balance.
"""

from typing import assert_never

from core.books import invoices, job_rows, jobs, ledger, metering, refunds, sessions
from core.books.invoices import Invoice
from core.books.job_rows import Move, NewJob, Record, TokensUsed
from core.books.jobs import Job
from core.books.ledger import REVENUE, Leg, Transfer
from core.books.refunds import Debt
from core.store.port import Tx
from core.values.errors import WrongState
from core.values.money import MSAT_PER_SAT, NOTHING, Msat
from core.values.states import OUR_FAULT, ErrorCode, Event, State
from core.values.terms import JobTerms

INTAKE = "work"  # topic: a job has become due

_MESSAGES: dict[ErrorCode, str] = {
    "eval_unpaid": "The evaluation was not paid in time.",
    "quote_expired": "The work was not paid in time; the evaluation fee is kept.",
    "cancelled": "The customer cancelled the job.",
    "evaluation_failed": "The request could not be evaluated. Everything paid is owed back.",
    "work_failed": "The work could not be done. Everything paid is owed back.",
    "deadline_exceeded": "The work was not done in time. Everything paid is owed back.",
}


async def open_job(tx: Tx, new: NewJob, invoice: Invoice | None, *, now_ms: int) -> Job:
    """Open a job that waits for its evaluation fee, or is due at once where that is free."""
    state: State = "evaluating" if invoice is None else "awaiting_eval_payment"
    await ledger.open_account(tx, new.job_id)
    await job_rows.add(tx, new, state, now_ms)
    if invoice is None:
        tx.announce(INTAKE)
    else:
        await invoices.add(tx, invoice, client=new.client)
    return await jobs.new_version(tx, new.job_id, now_ms)


async def paid(tx: Tx, invoice: Invoice, amount: Msat, terms: JobTerms, now_ms: int) -> None:
    """Move a job on, whose account was just credited with `amount` for this invoice.

    A payment that moves nothing (late, second, after a cancel), and what was paid above the
    invoice, is owed back at once.
    """
    used = NOTHING
    if amount >= invoice.amount and await _move_paid(tx, invoice, terms, now_ms):
        used = invoice.amount
    rest = Debt(own=Msat(amount - used))
    await refunds.owe(tx, invoice.account_id, rest, terms.refund_fee, now_ms)
    await jobs.new_version(tx, invoice.account_id, now_ms)


async def quote(tx: Tx, job: Record, invoice: Invoice, terms: JobTerms, now_ms: int) -> bool:
    """Show the price and its invoice; False where the job is no longer being evaluated."""
    expires_at_ms = now_ms + terms.unpaid_ttl_ms
    if not await job_rows.move(tx, job, "quoted", Move(wait_until_ms=expires_at_ms), now_ms):
        return False
    await job_rows.show_quote(tx, job.job_id, expires_at_ms)
    await invoices.add(tx, invoice, client="")
    await jobs.new_version(tx, job.job_id, now_ms)
    return True


async def reject(tx: Tx, job: Record, reason: str, terms: JobTerms, now_ms: int) -> bool:
    """End a job with the agent's no; the evaluation fee is kept or owed back, as the terms say."""
    if not await job_rows.keep_reason(tx, job, reason):
        return False
    earned = job.eval_fee if terms.keeps_fee_on_reject else NOTHING
    return await _end(tx, job, "rejected", earned=earned, terms=terms, now_ms=now_ms)


async def complete(
    tx: Tx, job: Record, result: str, used: TokensUsed, *, terms: JobTerms, now_ms: int
) -> bool:
    """End a job with its result: fee and price are earned. False where the answer is too late."""
    if not await job_rows.keep_result(tx, job, result, used):
        return False
    earned = Msat(job.eval_fee + price_of(job))
    return await _end(tx, job, "work_done", earned=earned, terms=terms, now_ms=now_ms)


async def fail(tx: Tx, job: Record, code: ErrorCode, terms: JobTerms, now_ms: int) -> bool:
    """End a job without a result; what is owed back follows from the code."""
    return await _end(tx, job, code, earned=_earned_by(job, code), terms=terms, now_ms=now_ms)


async def cancel(tx: Tx, job_id: str, terms: JobTerms, now_ms: int) -> Job:
    """End a job at its customer's wish; again is no change. Raises WrongState, NotFound."""
    job = await job_rows.record(tx, job_id)
    if not await fail(tx, job, "cancelled", terms, now_ms):
        seen = await jobs.view(tx, job_id)
        if seen.error_code != "cancelled":
            raise WrongState(f"A job that is {seen.state} cannot be cancelled.")
        return seen
    return await jobs.view(tx, job_id)


def _earned_by(job: Record, code: ErrorCode) -> Msat:
    """What we keep of a job that ends with this code."""
    match code:
        case "eval_unpaid" | "evaluation_failed" | "work_failed" | "deadline_exceeded":
            return NOTHING
        case "quote_expired":
            return job.eval_fee
        case "cancelled":
            # The fee pays for the evaluation, and is earned as soon as a call for it has begun.
            return job.eval_fee if job.eval_calls else NOTHING
        case _:
            assert_never(code)


async def _move_paid(tx: Tx, invoice: Invoice, terms: JobTerms, now_ms: int) -> bool:
    job = await job_rows.record(tx, invoice.account_id)
    if invoice.purpose == "work":
        return await start_work(tx, job, terms, now_ms)
    moved = await job_rows.move(tx, job, "eval_paid", Move(due_at_ms=now_ms), now_ms)
    if moved:
        tx.announce(INTAKE)
    return moved


async def start_work(tx: Tx, job: Record, terms: JobTerms, now_ms: int) -> bool:
    """The price has been paid: the work is due, and its deadline runs."""
    what = Move(due_at_ms=now_ms, deadline_at_ms=now_ms + terms.deadline_ms)
    moved = await job_rows.move(tx, job, "work_paid", what, now_ms)
    if moved:
        tx.announce(INTAKE)
    return moved


async def _end(
    tx: Tx, job: Record, event: Event, *, earned: Msat, terms: JobTerms, now_ms: int
) -> bool:
    code = event if event in _MESSAGES else None
    what = Move(error_code=code, error_message=_MESSAGES[code]) if code else Move()
    if not await job_rows.move(tx, job, event, what, now_ms):
        return False
    await invoices.close_of_account(tx, job.job_id)
    if earned:
        await ledger.transfer(
            tx,
            Transfer(f"earn:{job.job_id}", "charge", job.job_id, now_ms),
            [Leg(job.job_id, Msat(-earned)), Leg(REVENUE, earned)],
        )
    await _give_back(tx, job, code, terms, now_ms)
    fee = min(earned, job.eval_fee)
    await metering.end_job(tx, job.job_id, fee=fee, price=Msat(earned - fee))
    await jobs.new_version(tx, job.job_id, now_ms)
    return True


async def _give_back(
    tx: Tx, job: Record, code: ErrorCode | None, terms: JobTerms, now_ms: int
) -> None:
    """What is left on the job's account belongs to the customer."""
    account = await ledger.account(tx, job.job_id)
    assert account is not None, "a job has an account"
    rest = Msat(account.balance - await refunds.owed(tx, job.job_id))
    if not rest:
        return
    if job.session_id is None:
        debt = Debt(house=rest) if code in OUR_FAULT else Debt(own=rest)
        await refunds.owe(tx, job.job_id, debt, terms.refund_fee, now_ms)
        return
    session_id = await sessions.survivor(tx, job.session_id)  # joined since the worker read it
    await ledger.transfer(
        tx,
        Transfer(f"return:{job.job_id}", "refund", job.job_id, now_ms, is_unspent=True),
        [Leg(job.job_id, Msat(-rest)), Leg(session_id, rest)],
    )
    await refunds.credit(tx, job.job_id, rest, session_id, now_ms)
    tx.announce(session_id)


def price_of(job: Record) -> Msat:
    """The quoted price of the work."""
    assert job.price_sats is not None, "a job that executes has a price"
    return Msat(job.price_sats * MSAT_PER_SAT)
