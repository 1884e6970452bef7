"""Jobs as their customers see them, in every version that could have been seen.

Each change is one version; versions are kept, so that a listener who was away misses none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

import orjson
from pydantic import TypeAdapter

from core.books import inbox, invoices, job_rows, refunds
from core.books.inbox import Event
from core.books.invoices import Invoice, Purpose
from core.books.job_rows import Quote, Record, TokensUsed
from core.books.refunds import Refund
from core.store.port import Row, Tx
from core.values.states import ErrorCode, State


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its customer sees it."""

    job_id: str
    state: State
    version: int
    request: str | None
    metadata: Mapping[str, str] | None
    created_at_ms: int
    updated_at_ms: int
    deadline_at_ms: int | None
    eval_invoice: Invoice | None
    quote: Quote | None
    work_invoice: Invoice | None
    reason: str | None
    result: str | None
    model: str | None
    usage: TokensUsed | None
    error_code: ErrorCode | None
    error_message: str | None
    refunds: tuple[Refund, ...]


async def view(tx: Tx, job_id: str) -> Job:
    """The customer's view of a job. Raises NotFound."""
    return await _view_of(tx, await job_rows.row(tx, job_id))


async def new_version(tx: Tx, job_id: str, now_ms: int) -> Job:
    """Close a change: raise the version, keep it, and wake whoever waits for this job."""
    row = await job_rows.raise_version(tx, job_id, now_ms)
    job = await _view_of(tx, row)
    await tx.run(
        "INSERT INTO job_versions (job_id, version, body) VALUES (:job_id, :version, :body)",
        job_id=job_id,
        version=job.version,
        body=_as_body(job),
    )
    tx.announce(job_id)
    if row["session_id"] is not None:
        event, key = Event("job", job_id), f"job:{job_id}:{job.version}"
        await inbox.tell(tx, row["session_id"], event, key=key, now_ms=now_ms)
    return job


async def versions_after(tx: Tx, job_id: str, version: int) -> list[Job]:
    """Every version after this one, oldest first, each as it was. Raises NotFound.

    Of a job whose old versions were forgotten only the last is left.
    """
    now = await view(tx, job_id)
    rows = await tx.all(
        "SELECT body FROM job_versions WHERE job_id = :job_id AND version > :version"
        " ORDER BY version",
        job_id=job_id,
        version=version,
    )
    if not rows and now.version > version:
        return [now]
    return [_from_body(row["body"], now) for row in rows]


async def of_session(
    tx: Tx, session_id: str, *, before: tuple[int, str] | None, limit: int
) -> list[Job]:
    """A session's jobs, newest first, from below this creation time and id on."""
    before_ms, before_id = before or (2**62, "")
    rows = await tx.all(
        "SELECT * FROM jobs WHERE session_id = :session_id AND (created_at_ms < :before_ms"
        " OR (created_at_ms = :before_ms AND job_id < :before_id))"
        " ORDER BY created_at_ms DESC, job_id DESC LIMIT :limit",
        session_id=session_id,
        before_ms=before_ms,
        before_id=before_id,
        limit=limit,
    )
    return [await _view_of(tx, row) for row in rows]


async def waiting_of_session(tx: Tx, session_id: str) -> list[Record]:
    """A session's jobs that wait for the work's payment."""
    rows = await tx.all(
        "SELECT * FROM jobs WHERE session_id = :session_id AND state = 'awaiting_work_payment'",
        session_id=session_id,
    )
    return [job_rows.record_of(row) for row in rows]


async def forget_versions(tx: Tx, job_id: str) -> None:
    """Delete the old versions of a job."""
    await tx.run("DELETE FROM job_versions WHERE job_id = :job_id", job_id=job_id)


async def _view_of(tx: Tx, row: Row) -> Job:
    job_id = row["job_id"]
    bills = await invoices.of_account(tx, job_id)
    waits_for = _PAYMENTS.get(row["state"])
    return Job(
        job_id=job_id,
        state=row["state"],
        version=row["version"],
        request=row["request"],
        metadata=None if row["metadata"] is None else orjson.loads(row["metadata"]),
        created_at_ms=row["created_at_ms"],
        updated_at_ms=row["updated_at_ms"],
        deadline_at_ms=row["deadline_at_ms"],
        eval_invoice=_current(bills, "eval", waits_for),
        quote=_quote(row),
        work_invoice=_current(bills, "work", waits_for),
        reason=None if row["state"] == "evaluating" else row["reason"],
        result=row["result"],
        model=row["model"],
        usage=_usage(row),
        error_code=row["error_code"],
        error_message=row["error_message"],
        refunds=tuple(await refunds.of_account(tx, job_id)),
    )


def _current(bills: list[Invoice], purpose: Purpose, waits_for: Purpose | None) -> Invoice | None:
    """The invoice to show: while the job waits for it an open one, else the one that was paid.

    A job may wait though one was paid: with too little, or before an older copy of the books, which
    asked again, was restored.
    """
    mine = [bill for bill in bills if bill.purpose == purpose]
    wanted = "open" if purpose == waits_for else "paid"
    fitting = [bill for bill in mine if bill.state == wanted] or mine
    return fitting[0] if fitting else None


_PAYMENTS: Mapping[State, Purpose] = MappingProxyType(
    {"awaiting_eval_payment": "eval", "awaiting_work_payment": "work"}
)


def _quote(row: Row) -> Quote | None:
    if row["quote_expires_at_ms"] is None:
        return None
    return Quote(
        row["price_sats"],
        row["quote_input_tokens"],
        row["quote_output_tokens"],
        row["quote_expires_at_ms"],
        row["summary"] or "",
    )


def _usage(row: Row) -> TokensUsed | None:
    if row["usage_input_tokens"] is None:
        return None
    return TokensUsed(row["usage_input_tokens"], row["usage_output_tokens"])


@cache
def _job_adapter() -> TypeAdapter[Job]:
    return TypeAdapter(Job)


def _as_body(job: Job) -> str:
    # What never changes, or comes only with the last version, stands in the row alone.
    bare = replace(job, request=None, metadata=None, result=None)
    return _job_adapter().dump_json(bare).decode()


def _from_body(body: str, now: Job) -> Job:
    then = _job_adapter().validate_json(body)
    result = now.result if then.state == "complete" else None
    return replace(then, request=now.request, metadata=now.metadata, result=result)
