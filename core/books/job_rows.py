"""The jobs' rows: what the back office needs of a job, its leases, its counters.

A row moves only along an edge of `core.values.states`, and only from the state and the attempt
that the mover has seen (`attempt` is the fence: every lease and every move raises it).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from core.store.port import Row, Tx
from core.values.errors import NotFound
from core.values.ids import is_id
from core.values.money import Msat
from core.values.states import ErrorCode, Event, State, after, is_final


@dataclass(frozen=True, slots=True)
class Quote:
    """What the work will cost, and the tokens that the price was reckoned from."""

    price_sats: int
    input_tokens: int
    output_tokens: int
    expires_at_ms: int
    summary: str = ""  # what will be delivered, in the agent's words


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """What the work took."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is needed to open a job.

    A session's job names its session, and has the id and the caveats of the token that asked.
    """

    job_id: str
    token_id: bytes
    client: str
    request: str
    metadata: Mapping[str, str] | None
    model_id: str
    max_price_sats: int | None
    eval_fee: Msat
    wait_until_ms: int
    session_id: str | None = None
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A job as the back office sees it."""

    job_id: str
    session_id: str | None
    token_id: bytes
    caveats: tuple[str, ...]
    state: State
    attempt: int
    request: str
    model_id: str
    max_price_sats: int | None
    eval_fee: Msat
    eval_calls: int
    bad_verdicts: int
    work_calls: int
    price_sats: int | None
    quote_output_tokens: int | None
    wait_until_ms: int | None
    deadline_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Move:
    """What a move sets besides the state; None clears."""

    due_at_ms: int | None = None
    wait_until_ms: int | None = None
    deadline_at_ms: int | None = None
    error_code: ErrorCode | None = None
    error_message: str | None = None


async def add(tx: Tx, new: NewJob, state: State, now_ms: int) -> None:
    """Write a new job; where it starts in `evaluating` it is due at once."""
    await tx.run(
        "INSERT INTO jobs (job_id, session_id, token_id, caveats, client, state, version, request,"
        " metadata, model_id, max_price_sats, eval_fee_msat, created_at_ms, updated_at_ms,"
        " wait_until_ms, due_at_ms, attempt, eval_calls, bad_verdicts, work_calls)"
        " VALUES (:job_id, :session_id, :token_id, :caveats, :client, :state, 0, :request,"
        " :metadata, :model_id, :max_price_sats, :eval_fee, :now_ms, :now_ms, :wait_until_ms,"
        " :due_at_ms, 0, 0, 0, 0)",
        job_id=new.job_id,
        session_id=new.session_id,
        token_id=new.token_id,
        caveats="\n".join(new.caveats),
        client=new.client,
        state=state,
        request=new.request,
        metadata=None if new.metadata is None else orjson.dumps(new.metadata).decode(),
        model_id=new.model_id,
        max_price_sats=new.max_price_sats,
        eval_fee=new.eval_fee,
        now_ms=now_ms,
        wait_until_ms=None if state == "evaluating" else new.wait_until_ms,
        due_at_ms=now_ms if state == "evaluating" else None,
    )


async def record(tx: Tx, job_id: str) -> Record:
    """The back office's view of a job. Raises NotFound."""
    return record_of(await row(tx, job_id))


async def row(tx: Tx, job_id: str) -> Row:
    """The bare row. Raises NotFound, for a malformed id too."""
    found = None
    if is_id("job", job_id):
        found = await tx.one("SELECT * FROM jobs WHERE job_id = :job_id", job_id=job_id)
    if found is None:
        raise NotFound
    return found


async def move(tx: Tx, job: Record, event: Event, what: Move, now_ms: int) -> bool:
    """Move the job along the edge that `event` names; False where it is no longer there."""
    to = after(job.state, event)
    if to is None:
        return False
    moved = await tx.run(
        "UPDATE jobs SET state = :to, attempt = attempt + 1, lease_owner = NULL,"
        " due_at_ms = :due_at_ms, wait_until_ms = :wait_until_ms,"
        " deadline_at_ms = COALESCE(:deadline_at_ms, deadline_at_ms),"
        " ended_at_ms = :ended_at_ms, error_code = :error_code, error_message = :error_message"
        " WHERE job_id = :job_id AND state = :state AND attempt = :attempt",
        job_id=job.job_id,
        state=job.state,
        attempt=job.attempt,
        to=to,
        due_at_ms=what.due_at_ms,
        wait_until_ms=what.wait_until_ms,
        deadline_at_ms=what.deadline_at_ms,
        ended_at_ms=now_ms if is_final(to) else None,
        error_code=what.error_code,
        error_message=what.error_message,
    )
    return moved == 1


async def raise_version(tx: Tx, job_id: str, now_ms: int) -> Row:
    """Count a change that the customer can see; the row as it is now. Raises NotFound."""
    changed = await tx.one(
        "UPDATE jobs SET version = version + 1, updated_at_ms = :now_ms WHERE job_id = :job_id"
        " RETURNING *",
        job_id=job_id,
        now_ms=now_ms,
    )
    if changed is None:
        raise NotFound
    return changed


async def lease_due(tx: Tx, owner: str, *, now_ms: int, until_ms: int, limit: int) -> list[Record]:
    """Take jobs whose time has come; each is this owner's until `until_ms`, or until it beats."""
    rows = await tx.all(
        "UPDATE jobs SET lease_owner = :owner, attempt = attempt + 1, due_at_ms = :until_ms"
        " WHERE job_id IN (SELECT job_id FROM jobs WHERE state IN ('evaluating', 'executing')"
        " AND due_at_ms <= :now_ms ORDER BY due_at_ms LIMIT :limit /*pg FOR UPDATE SKIP LOCKED */)"
        " RETURNING *",
        owner=owner,
        now_ms=now_ms,
        until_ms=until_ms,
        limit=limit,
    )
    return [record_of(row) for row in rows]


async def beat(tx: Tx, job: Record, until_ms: int) -> bool:
    """Keep a lease alive; False where it is lost."""
    return await _set_due(tx, job, until_ms)


async def retry_at(tx: Tx, job: Record, at_ms: int) -> bool:
    """Give a lease back; the job is due again at this time."""
    return await _set_due(tx, job, at_ms)


async def free_leases(tx: Tx, owner: str, now_ms: int) -> None:
    """Make every job due that another process had leased; this one owns the database alone."""
    await tx.run(
        "UPDATE jobs SET due_at_ms = :now_ms, lease_owner = NULL"
        " WHERE state IN ('evaluating', 'executing') AND lease_owner <> :owner",
        owner=owner,
        now_ms=now_ms,
    )


async def count_eval_call(tx: Tx, job: Record) -> bool:
    """Count an evaluation call before it is made; False where the lease is lost."""
    return await _fenced(tx, "UPDATE jobs SET eval_calls = eval_calls + 1" + _FENCE, job)


async def count_bad_verdict(tx: Tx, job: Record) -> bool:
    """Count an answer that was no verdict; False where the lease is lost."""
    return await _fenced(tx, "UPDATE jobs SET bad_verdicts = bad_verdicts + 1" + _FENCE, job)


async def count_work_call(tx: Tx, job: Record) -> bool:
    """Count a work call before it is made; False where the lease is lost."""
    return await _fenced(tx, "UPDATE jobs SET work_calls = work_calls + 1" + _FENCE, job)


async def keep_quote(tx: Tx, job: Record, quote: Quote, reason: str, wait_until_ms: int) -> bool:
    """Keep an accepting verdict with its price; it outlives a wallet that is down."""
    return await _fenced(
        tx,
        "UPDATE jobs SET price_sats = :price_sats, quote_input_tokens = :input_tokens,"
        " quote_output_tokens = :output_tokens, reason = :reason, summary = :summary,"
        " wait_until_ms = :wait_until_ms" + _FENCE + " AND state = 'evaluating'",
        job,
        price_sats=quote.price_sats,
        input_tokens=quote.input_tokens,
        output_tokens=quote.output_tokens,
        reason=reason,
        summary=quote.summary,
        wait_until_ms=wait_until_ms,
    )


async def show_quote(tx: Tx, job_id: str, expires_at_ms: int) -> None:
    """From now on the customer sees the quote."""
    await tx.run(
        "UPDATE jobs SET quote_expires_at_ms = :expires_at_ms WHERE job_id = :job_id",
        job_id=job_id,
        expires_at_ms=expires_at_ms,
    )


async def keep_reason(tx: Tx, job: Record, reason: str) -> bool:
    """Keep why the request was rejected; False where it is no longer being evaluated."""
    sql = "UPDATE jobs SET reason = :reason" + _FENCE + " AND state = 'evaluating'"
    return await _fenced(tx, sql, job, reason=reason)


async def keep_result(tx: Tx, job: Record, result: str, used: TokensUsed) -> bool:
    """Keep the work; False where the lease is lost and the answer comes too late."""
    return await _fenced(
        tx,
        "UPDATE jobs SET result = :result, model = model_id, usage_input_tokens = :input_tokens,"
        " usage_output_tokens = :output_tokens" + _FENCE + " AND state = 'executing'",
        job,
        result=result,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
    )


async def count_due(tx: Tx, limit: int) -> int:
    """How many jobs wait for a worker or have one, counted up to `limit`."""
    row = await tx.one(
        "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM jobs"
        " WHERE state IN ('evaluating', 'executing') AND due_at_ms IS NOT NULL LIMIT :limit) due",
        limit=limit,
    )
    assert row is not None
    return int(row["n"])


async def next_due_ms(tx: Tx) -> int | None:
    """When the next job is due."""
    row = await tx.one(
        "SELECT due_at_ms FROM jobs WHERE state IN ('evaluating', 'executing')"
        " AND due_at_ms IS NOT NULL ORDER BY due_at_ms LIMIT 1"
    )
    return None if row is None else int(row["due_at_ms"])


async def waited_out(tx: Tx, now_ms: int, limit: int) -> list[Record]:
    """Jobs that have waited for a payment, or for an invoice, as long as they may."""
    rows = await tx.all(
        "SELECT * FROM jobs WHERE wait_until_ms <= :now_ms"
        " AND state IN ('awaiting_eval_payment', 'evaluating', 'awaiting_work_payment')"
        " ORDER BY wait_until_ms LIMIT :limit",
        now_ms=now_ms,
        limit=limit,
    )
    return [record_of(row) for row in rows]


async def postpone(tx: Tx, job: Record, until_ms: int) -> bool:
    """Let a job wait longer."""
    return await _fenced(
        tx, "UPDATE jobs SET wait_until_ms = :until_ms" + _FENCE, job, until_ms=until_ms
    )


async def overdue(tx: Tx, now_ms: int, limit: int) -> list[Record]:
    """Executing jobs past their deadline."""
    rows = await tx.all(
        "SELECT * FROM jobs WHERE state = 'executing' AND deadline_at_ms <= :now_ms"
        " ORDER BY deadline_at_ms LIMIT :limit",
        now_ms=now_ms,
        limit=limit,
    )
    return [record_of(row) for row in rows]


async def shift_times(tx: Tx, by_ms: int) -> None:
    """Move deadlines and leases by time that does not count: down time, or a jump of the clock."""
    await tx.run(
        "UPDATE jobs SET deadline_at_ms = deadline_at_ms + :by_ms, due_at_ms = due_at_ms + :by_ms"
        " WHERE state IN ('evaluating', 'executing')",
        by_ms=by_ms,
    )


async def count_by_state(tx: Tx) -> dict[str, int]:
    """How many jobs are in each state, for the operator's metrics."""
    # Part by part, each along the index that has these states: rows with long texts stay unread.
    rows = await tx.all(
        "SELECT state, COUNT(*) AS n FROM jobs"
        " WHERE state IN ('rejected', 'complete', 'failed') GROUP BY state"
        " UNION ALL SELECT state, COUNT(*) AS n FROM jobs"
        " WHERE state IN ('awaiting_eval_payment', 'evaluating', 'awaiting_work_payment')"
        " GROUP BY state"
        " UNION ALL SELECT state, COUNT(*) AS n FROM jobs WHERE state = 'executing' GROUP BY state"
    )
    return {row["state"]: row["n"] for row in rows}


async def past_retention(tx: Tx, ended_before_ms: int, limit: int) -> list[str]:
    """Jobs that ended before this time and still hold texts."""
    rows = await tx.all(
        "SELECT job_id FROM jobs WHERE ended_at_ms IS NOT NULL AND request IS NOT NULL"
        " AND ended_at_ms <= :before_ms ORDER BY ended_at_ms LIMIT :limit",
        before_ms=ended_before_ms,
        limit=limit,
    )
    return [row["job_id"] for row in rows]


async def forget_texts(tx: Tx, job_id: str) -> None:
    """Delete what the customer wrote and got; ids, amounts and debts stay."""
    await tx.run(
        "UPDATE jobs SET request = NULL, result = NULL, reason = NULL, metadata = NULL,"
        " summary = NULL"
        " WHERE job_id = :job_id",
        job_id=job_id,
    )


async def forget(tx: Tx, job_id: str) -> None:
    """Delete a job that was never paid."""
    await tx.run("DELETE FROM jobs WHERE job_id = :job_id", job_id=job_id)


_FENCE = " WHERE job_id = :job_id AND state = :state AND attempt = :attempt"


async def _fenced(tx: Tx, sql: str, job: Record, **params: object) -> bool:
    changed = await tx.run(sql, job_id=job.job_id, state=job.state, attempt=job.attempt, **params)
    return changed == 1


async def _set_due(tx: Tx, job: Record, at_ms: int) -> bool:
    return await _fenced(tx, "UPDATE jobs SET due_at_ms = :at_ms" + _FENCE, job, at_ms=at_ms)


def record_of(row: Row) -> Record:
    """The back office's view in a whole row of the table."""
    return Record(
        job_id=row["job_id"],
        session_id=row["session_id"],
        token_id=row["token_id"],
        caveats=tuple(row["caveats"].split("\n")) if row["caveats"] else (),
        state=row["state"],
        attempt=row["attempt"],
        request=row["request"] or "",
        model_id=row["model_id"],
        max_price_sats=row["max_price_sats"],
        eval_fee=Msat(row["eval_fee_msat"]),
        eval_calls=row["eval_calls"],
        bad_verdicts=row["bad_verdicts"],
        work_calls=row["work_calls"],
        price_sats=row["price_sats"],
        quote_output_tokens=row["quote_output_tokens"],
        wait_until_ms=row["wait_until_ms"],
        deadline_at_ms=row["deadline_at_ms"],
    )
