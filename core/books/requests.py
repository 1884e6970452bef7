"""Requests: what people asked for in a chat, under the codes that they see, and their invoices.

Every invoice of a chat fills the person's balance, and says what for. A request waits until the
balance covers its check; then it is a job of the person's session.
"""

import secrets
from dataclasses import dataclass, replace
from typing import Literal

from core.books import job_rows, jobs
from core.books.people import place_of
from core.store.port import Row, Tx
from core.values.mail import Peer
from core.values.money import Msat

RequestState = Literal["unpaid", "started", "dropped"]
BillKind = Literal["check", "once", "price", "topup", "chat"]

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `told` is the state of its job that the person knows.

    `once_sats` is what the person paid for check and work together; 0 for two payments. `version`
    grows with every new card, so that the buttons of an old one have no effect.
    """

    session_id: str
    code: str
    job_id: str | None
    text: str
    state: RequestState
    told: str
    version: int
    once_sats: int
    peer: Peer
    message_id: str | None
    created_at_ms: int

    @property
    def on_next_card(self) -> "Request":
        """The request as its next card shows it: the buttons there have the next version."""
        return replace(self, version=self.version + 1)


@dataclass(frozen=True, slots=True)
class PersonBill:
    """An invoice that a person was shown there; `ref` is a request's code, or empty."""

    payment_hash: str
    session_id: str
    kind: BillKind
    ref: str
    peer: Peer
    bolt11: str
    amount: Msat
    expires_at_ms: int
    is_paid: bool = False


async def free_code(tx: Tx, session_id: str) -> str:
    """A code that this person has not used."""
    while True:
        code = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_LENGTH))
        if await find(tx, session_id, code) is None:
            return code


async def add(tx: Tx, request: Request) -> None:
    """Write a request down."""
    await tx.run(
        f"INSERT INTO requests ({_COLUMNS}) VALUES (:session_id, :code, :job_id, :text, :state,"
        " :told, :version, :once_sats, :channel, :realm, :uid, :message_id, :created_at_ms)",
        **place_of(request.peer),
        session_id=request.session_id,
        code=request.code,
        job_id=request.job_id,
        text=request.text,
        state=request.state,
        told=request.told,
        version=request.version,
        once_sats=request.once_sats,
        message_id=request.message_id,
        created_at_ms=request.created_at_ms,
    )


async def find(tx: Tx, session_id: str, code: str) -> Request | None:
    """A person's request of this code."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM requests WHERE session_id = :session_id AND code = :code",
        session_id=session_id,
        code=code,
    )
    return None if row is None else _request(row)


async def of_code(tx: Tx, code: str) -> list[Request]:
    """Everybody's requests of this code, newest first."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM requests WHERE code = :code ORDER BY created_at_ms DESC", code=code
    )
    return [_request(row) for row in rows]


async def of_job(tx: Tx, job_id: str) -> Request | None:
    """The request that a job was opened for."""
    row = await tx.one(f"SELECT {_COLUMNS} FROM requests WHERE job_id = :job_id", job_id=job_id)
    return None if row is None else _request(row)


async def asked_in(tx: Tx, session_id: str, message_id: str) -> Request | None:
    """The request that a person made with this message."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM requests WHERE session_id = :session_id"
        " AND message_id = :message_id ORDER BY created_at_ms DESC LIMIT 1",
        session_id=session_id,
        message_id=message_id,
    )
    return None if row is None else _request(row)


async def unpaid(tx: Tx, session_id: str) -> list[Request]:
    """A person's requests that wait for the check to be paid, oldest first."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM requests WHERE session_id = :session_id AND state = 'unpaid'"
        " ORDER BY created_at_ms, code",
        session_id=session_id,
    )
    return [_request(row) for row in rows]


async def open_ones(tx: Tx, session_id: str) -> list[Request]:
    """A person's requests that have not ended, oldest first."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM requests WHERE session_id = :session_id AND (state = 'unpaid'"
        " OR (state = 'started' AND told IN ('', 'evaluating', 'awaiting_work_payment',"
        " 'executing'))) ORDER BY created_at_ms, code",
        session_id=session_id,
    )
    return [_request(row) for row in rows]


async def page(tx: Tx, session_id: str, *, skip: int, limit: int) -> list[Request]:
    """A person's requests, newest first."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM requests WHERE session_id = :session_id"
        " ORDER BY created_at_ms DESC, code LIMIT :limit OFFSET :skip",
        session_id=session_id,
        skip=skip,
        limit=limit,
    )
    return [_request(row) for row in rows]


async def start(tx: Tx, request: Request, job_id: str) -> bool:
    """The check is paid: the request is a job now. False where it no longer waits."""
    return await _turn(tx, request, "started", job_id)


async def drop(tx: Tx, request: Request) -> bool:
    """The person, or time, ended a request that was not paid. False where it no longer waits."""
    return await _turn(tx, request, "dropped", None)


async def pay_once(tx: Tx, request: Request, once_sats: int) -> None:
    """The person wants to pay check and work together."""
    await _set(tx, request, "once_sats = :once_sats, version = version + 1", once_sats=once_sats)


async def new_card(tx: Tx, request: Request) -> int:
    """Raise the version, so that the buttons of the card before have no effect; return it."""
    await _set(tx, request, "version = version + 1")
    return request.version + 1


async def tell(tx: Tx, request: Request, told: str) -> bool:
    """Note what the person knows of the job; False where that was known already."""
    changed = await tx.run(
        "UPDATE requests SET told = :told, version = version + 1"
        " WHERE session_id = :session_id AND code = :code AND told <> :told",
        session_id=request.session_id,
        code=request.code,
        told=told,
    )
    return changed == 1


async def waited_out(tx: Tx, *, before_ms: int, limit: int) -> list[Request]:
    """Requests that nobody has paid since then."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM requests WHERE state = 'unpaid' AND created_at_ms <= :before_ms"
        " ORDER BY created_at_ms LIMIT :limit",
        before_ms=before_ms,
        limit=limit,
    )
    return [_request(row) for row in rows]


async def forget_text(tx: Tx, job_id: str) -> None:
    """Forget what somebody asked for with this job; the request itself stays known."""
    await tx.run("UPDATE requests SET text = '' WHERE job_id = :job_id", job_id=job_id)


async def forget_dropped(tx: Tx, *, before_ms: int) -> None:
    """Forget what was asked for before that time, and never begun."""
    await tx.run(
        "UPDATE requests SET text = '' WHERE state = 'dropped' AND created_at_ms <= :before_ms"
        " AND text <> ''",
        before_ms=before_ms,
    )


async def forget(tx: Tx, session_id: str) -> None:
    """Forget what a person asked for and got; ids, amounts and debts stay in the books of jobs."""
    rows = await tx.all(
        "DELETE FROM requests WHERE session_id = :session_id RETURNING job_id",
        session_id=session_id,
    )
    for row in rows:
        if row["job_id"] is not None:
            await job_rows.forget_texts(tx, row["job_id"])
            await jobs.forget_versions(tx, row["job_id"])


async def add_bill(tx: Tx, bill: PersonBill) -> None:
    """Remember what an invoice was shown for."""
    await tx.run(
        "INSERT INTO bills (payment_hash, session_id, kind, ref, channel, realm, uid, bolt11,"
        " amount_msat, expires_at_ms, is_paid) VALUES (:payment_hash, :session_id, :kind, :ref,"
        " :channel, :realm, :uid, :bolt11, :amount, :expires_at_ms, 0)",
        **place_of(bill.peer),
        payment_hash=bill.payment_hash,
        session_id=bill.session_id,
        kind=bill.kind,
        ref=bill.ref,
        bolt11=bill.bolt11,
        amount=bill.amount,
        expires_at_ms=bill.expires_at_ms,
    )


async def bill(tx: Tx, payment_hash: str) -> PersonBill | None:
    """What an invoice was shown for."""
    row = await tx.one(
        "SELECT * FROM bills WHERE payment_hash = :payment_hash", payment_hash=payment_hash
    )
    return None if row is None else _bill(row)


async def pay_bill(tx: Tx, payment_hash: str) -> None:
    """An invoice was paid."""
    await tx.run(
        "UPDATE bills SET is_paid = 1 WHERE payment_hash = :payment_hash", payment_hash=payment_hash
    )


async def bills_of(tx: Tx, session_id: str, ref: str) -> list[PersonBill]:
    """The invoices shown for a request, or with an empty `ref` for the balance; newest first."""
    rows = await tx.all(
        "SELECT * FROM bills WHERE session_id = :session_id AND ref = :ref"
        " ORDER BY expires_at_ms DESC",
        session_id=session_id,
        ref=ref,
    )
    return [_bill(row) for row in rows]


async def open_bills(tx: Tx, session_id: str, now_ms: int) -> list[PersonBill]:
    """All invoices that a person was shown and could still pay; newest first."""
    rows = await tx.all(
        "SELECT * FROM bills WHERE session_id = :session_id AND is_paid = 0"
        " AND expires_at_ms > :now_ms ORDER BY expires_at_ms DESC",
        session_id=session_id,
        now_ms=now_ms,
    )
    return [_bill(row) for row in rows]


async def _turn(tx: Tx, request: Request, state: RequestState, job_id: str | None) -> bool:
    changed = await tx.run(
        "UPDATE requests SET state = :state, job_id = :job_id, version = version + 1"
        " WHERE session_id = :session_id AND code = :code AND state = 'unpaid'",
        session_id=request.session_id,
        code=request.code,
        state=state,
        job_id=job_id,
    )
    return changed == 1


async def _set(tx: Tx, request: Request, what: str, **values: object) -> None:
    await tx.run(
        f"UPDATE requests SET {what} WHERE session_id = :session_id AND code = :code",
        session_id=request.session_id,
        code=request.code,
        **values,
    )


_COLUMNS = (
    "session_id, code, job_id, text, state, told, version, once_sats, channel, realm, uid,"
    " message_id, created_at_ms"
)


def _request(row: Row) -> Request:
    return Request(
        session_id=row["session_id"],
        code=row["code"],
        job_id=row["job_id"],
        text=row["text"],
        state=row["state"],
        told=row["told"],
        version=row["version"],
        once_sats=row["once_sats"],
        peer=Peer(row["channel"], row["realm"], row["uid"]),
        message_id=row["message_id"],
        created_at_ms=row["created_at_ms"],
    )


def _bill(row: Row) -> PersonBill:
    return PersonBill(
        payment_hash=row["payment_hash"],
        session_id=row["session_id"],
        kind=row["kind"],
        ref=row["ref"],
        peer=Peer(row["channel"], row["realm"], row["uid"]),
        bolt11=row["bolt11"],
        amount=Msat(row["amount_msat"]),
        expires_at_ms=row["expires_at_ms"],
        is_paid=bool(row["is_paid"]),
    )
