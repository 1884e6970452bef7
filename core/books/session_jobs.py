"""A session's jobs: paid from its balance, without invoices.

Fee and price move from the session's account to the job's when they are due, so a job's money lies
where that of every job does; what comes back is credited to the session at once. The job remembers
the token that asked for it with its caveats, since the work may start long after.
"""

from dataclasses import replace

from core.books import credentials, job_rows, jobs, ledger, lifecycle, metering, sessions
from core.books.credentials import Bearer
from core.books.job_rows import Move, NewJob, Record
from core.books.jobs import Job
from core.books.lifecycle import INTAKE
from core.store.port import Tx
from core.values.caveats import Caveats, read_caveats
from core.values.errors import Forbidden, NotFound, Refused, WrongState
from core.values.terms import JobTerms
from core.values.tokens import JOB_HASH


async def open_job(tx: Tx, new: NewJob, bearer: Bearer, *, now_ms: int) -> Job:
    """Open a job whose evaluation fee the session pays now.

    Raises Unauthorized, WrongState, Forbidden, MoneyMissing, RateLimited.
    """
    session_id = await metering.spending(tx, bearer)
    new = replace(new, session_id=session_id)  # it may have been joined since the job was asked for
    caveats = bearer.token.caveats
    metering.check_model(caveats, new.model_id)
    await ledger.open_account(tx, new.job_id)
    await metering.take(
        tx, session_id, caveats, new.eval_fee, part="fee", job_id=new.job_id, now_ms=now_ms
    )
    await job_rows.add(tx, new, "evaluating", now_ms)
    tx.announce(INTAKE)
    return await jobs.new_version(tx, new.job_id, now_ms)


async def quote(tx: Tx, job: Record, terms: JobTerms, now_ms: int) -> bool:
    """Show the price; at or under the job's maximum the session pays it and the work starts.

    It waits for `accept` where the token, a budget or the money fails at this moment; in a closed
    session nothing starts any more. False where the job is no longer being evaluated.
    """
    assert job.session_id is not None
    session_id = await sessions.survivor(tx, job.session_id)
    if await sessions.state(tx, session_id) == "closed":
        return await lifecycle.fail(tx, job, "cancelled", terms, now_ms)
    expires_at_ms = now_ms + terms.unpaid_ttl_ms
    if not await job_rows.move(tx, job, "quoted", Move(wait_until_ms=expires_at_ms), now_ms):
        return False
    await job_rows.show_quote(tx, job.job_id, expires_at_ms)
    await jobs.new_version(tx, job.job_id, now_ms)
    if await _pays_by_itself(tx, job, terms, now_ms):
        await jobs.new_version(tx, job.job_id, now_ms)
    return True


async def accept(tx: Tx, job_id: str, bearer: Bearer, terms: JobTerms, now_ms: int) -> Job:
    """Pay the quoted work of a job from its own session.

    Raises Unauthorized, NotFound, Forbidden, WrongState, MoneyMissing, RateLimited.
    """
    job = await own_job(tx, job_id, bearer)
    await metering.spending(tx, bearer)
    if job.state != "awaiting_work_payment":
        raise WrongState(f"A job that is {job.state} cannot be accepted.")
    metering.check_model(bearer.token.caveats, job.model_id)
    await _pay(tx, job, bearer.token.caveats, terms, now_ms)
    return await jobs.new_version(tx, job.job_id, now_ms)


async def own_job(tx: Tx, job_id: str, bearer: Bearer) -> Record:
    """A job of the bearer's session, to spend on. Raises Unauthorized, NotFound, Forbidden."""
    job = await job_rows.record(tx, job_id)
    if job.session_id is None or bearer.token.payment_hash == JOB_HASH:
        raise NotFound  # another job's token is a credential, but not for this one
    standing = await credentials.standing(tx, bearer)
    if job.session_id != standing.session_id:
        raise NotFound
    if not bearer.token.caveats.allows("spend"):
        raise Forbidden("The token lacks the right to spend.")
    return job


async def close_session(tx: Tx, session_id: str, terms: JobTerms, now_ms: int) -> None:
    """Close a session: jobs that wait for the work's payment end; what executes goes on."""
    await sessions.close(tx, session_id)
    for job in await jobs.waiting_of_session(tx, session_id):
        await lifecycle.fail(tx, job, "cancelled", terms, now_ms)


async def _pays_by_itself(tx: Tx, job: Record, terms: JobTerms, now_ms: int) -> bool:
    assert job.price_sats is not None
    if job.price_sats > (job.max_price_sats or 0):
        return False
    caveats = read_caveats(job.caveats)
    still_stands = await credentials.is_known(tx, job.token_id)
    if not still_stands or caveats.is_expired(now_ms // 1000):
        return False
    quoted = await job_rows.record(tx, job.job_id)
    try:
        await _pay(tx, quoted, caveats, terms, now_ms)
    except Refused:  # `take` refuses before it writes; the job waits for accept
        return False
    return True


async def _pay(tx: Tx, job: Record, caveats: Caveats, terms: JobTerms, now_ms: int) -> None:
    """Pay the quoted price. Raises, before anything is written, what `metering.take` raises."""
    assert job.session_id is not None
    price = lifecycle.price_of(job)
    session_id = await sessions.survivor(tx, job.session_id)
    await metering.take(
        tx, session_id, caveats, price, part="price", job_id=job.job_id, now_ms=now_ms
    )
    started = await lifecycle.start_work(tx, job, terms, now_ms)
    assert started, "the job was read in this transaction"
