"""Sessions: a balance that a customer fills once and spends many times.

A session is one account of the ledger, named by its id. It is active from its first credit on; one
that was never credited ends when its wait is over, and money that still comes revives it. Where two
were joined, one is empty and its id stands for the other.
"""

from dataclasses import dataclass
from typing import Literal

from core.books import invoices, ledger
from core.books.invoices import Invoice
from core.store.port import Tx
from core.values.errors import NotFound
from core.values.ids import is_id
from core.values.money import Msat

SessionState = Literal["awaiting_deposit", "active", "closed", "ended"]


@dataclass(frozen=True, slots=True)
class Session:
    """A session as its customer sees it."""

    session_id: str
    state: SessionState
    balance: Msat
    held: Msat
    spent: Msat
    deposited: Msat
    open_invoices: tuple[Invoice, ...]
    created_at_ms: int


async def add(
    tx: Tx, session_id: str, *, client: str, wait_until_ms: int, is_challenge: bool, now_ms: int
) -> None:
    """Open a session that waits for its first credit until `wait_until_ms`.

    `is_challenge` says that a 402 opened it, which may be handed out again.
    """
    await ledger.open_account(tx, session_id)
    await tx.run(
        "INSERT INTO sessions (session_id, state, is_challenge, client, created_at_ms,"
        " wait_until_ms) VALUES (:session_id, 'awaiting_deposit', :is_challenge, :client, :now_ms,"
        " :wait_until_ms)",
        session_id=session_id,
        is_challenge=int(is_challenge),
        client=client,
        now_ms=now_ms,
        wait_until_ms=wait_until_ms,
    )


async def add_active(tx: Tx, session_id: str, now_ms: int) -> None:
    """Open a session that needs no deposit to be spent: somebody's who writes to us."""
    await ledger.open_account(tx, session_id)
    await tx.run(
        "INSERT INTO sessions (session_id, state, is_challenge, client, created_at_ms,"
        " wait_until_ms) VALUES (:session_id, 'active', 0, '', :now_ms, NULL)",
        session_id=session_id,
        now_ms=now_ms,
    )


async def state(tx: Tx, session_id: str) -> SessionState:
    """The state of a session. Raises NotFound, for a malformed id too."""
    row = None
    if is_id("ses", session_id):
        row = await tx.one(
            "SELECT state FROM sessions WHERE session_id = :session_id", session_id=session_id
        )
    if row is None:
        raise NotFound
    found: SessionState = row["state"]
    return found


async def survivor(tx: Tx, session_id: str) -> str:
    """The session that this id stands for: its own, unless it was joined to another."""
    row = await tx.one(
        "SELECT joined_to FROM sessions WHERE session_id = :session_id AND joined_to IS NOT NULL",
        session_id=session_id,
    )
    return session_id if row is None else str(row["joined_to"])


async def join(tx: Tx, session_id: str, into_id: str) -> None:
    """From now on this session's id, and all that stood for it, stands for another session."""
    row = await tx.one(
        "SELECT state, wait_until_ms FROM sessions WHERE session_id = :session_id",
        session_id=session_id,
    )
    assert row is not None, "who is joined is known"
    if row["state"] == "active":
        await credited(tx, into_id)
    elif row["wait_until_ms"] is not None:
        await wait_longer(tx, into_id, row["wait_until_ms"])
    await tx.run(
        "UPDATE sessions SET joined_to = :into_id"
        " WHERE session_id = :session_id OR joined_to = :session_id",
        session_id=session_id,
        into_id=into_id,
    )
    await close(tx, session_id)
    tx.announce(into_id)


async def view(tx: Tx, session_id: str) -> Session:
    """The session as its customer sees it. Raises NotFound."""
    now = await state(tx, session_id)
    row = await tx.one(
        "SELECT created_at_ms FROM sessions WHERE session_id = :session_id", session_id=session_id
    )
    account = await ledger.account(tx, session_id)
    assert row is not None
    assert account is not None
    bills = await invoices.of_account(tx, session_id)
    return Session(
        session_id=session_id,
        state=now,
        balance=account.balance,
        held=account.held,
        spent=account.spent,
        deposited=account.deposited,
        open_invoices=tuple(bill for bill in bills if bill.state == "open"),
        created_at_ms=row["created_at_ms"],
    )


async def credited(tx: Tx, session_id: str) -> None:
    """Money came: a session that waited, or had ended unpaid, is active; a closed one stays so."""
    await tx.run(
        "UPDATE sessions SET state = 'active', wait_until_ms = NULL"
        " WHERE session_id = :session_id AND state IN ('awaiting_deposit', 'ended')",
        session_id=session_id,
    )
    tx.announce(session_id)


async def wait_longer(tx: Tx, session_id: str, until_ms: int) -> None:
    """Let an unpaid session wait at least until then, for a further invoice or for the wallet."""
    await tx.run(
        "UPDATE sessions SET wait_until_ms = :until_ms WHERE session_id = :session_id"
        " AND state = 'awaiting_deposit' AND wait_until_ms < :until_ms",
        session_id=session_id,
        until_ms=until_ms,
    )


async def close(tx: Tx, session_id: str) -> None:
    """End all new spending; what is there can still be read and withdrawn."""
    await tx.run(
        "UPDATE sessions SET state = 'closed', wait_until_ms = NULL WHERE session_id = :session_id",
        session_id=session_id,
    )
    tx.announce(session_id)


async def waited_out(tx: Tx, now_ms: int, limit: int) -> list[str]:
    """Sessions never credited whose wait is over."""
    rows = await tx.all(
        "SELECT session_id FROM sessions WHERE state = 'awaiting_deposit'"
        " AND wait_until_ms <= :now_ms ORDER BY wait_until_ms LIMIT :limit",
        now_ms=now_ms,
        limit=limit,
    )
    return [row["session_id"] for row in rows]


async def end_unpaid(tx: Tx, session_id: str, now_ms: int) -> None:
    """Nobody paid: its tokens open nothing any more; its hashes stay known.

    A session whose wait is not over after all (an invoice was made meanwhile) goes on waiting.
    """
    ended = await tx.run(
        "UPDATE sessions SET state = 'ended', wait_until_ms = NULL WHERE session_id = :session_id"
        " AND state = 'awaiting_deposit' AND wait_until_ms <= :now_ms",
        session_id=session_id,
        now_ms=now_ms,
    )
    if ended:
        await invoices.close_of_account(tx, session_id)


async def recent_challenge(
    tx: Tx, client: str, *, since_ms: int, amount: Msat, expires_after_ms: int
) -> tuple[str, Invoice] | None:
    """A session that a challenge opened for this client lately, unpaid, over at least this much."""
    rows = await tx.all(
        "SELECT session_id FROM sessions WHERE state = 'awaiting_deposit' AND client = :client"
        " AND is_challenge = 1 AND created_at_ms > :since_ms ORDER BY created_at_ms DESC LIMIT 50",
        client=client,
        since_ms=since_ms,
    )
    for row in rows:
        for bill in await invoices.of_account(tx, row["session_id"]):
            if _is_usable(bill, amount, expires_after_ms):
                return row["session_id"], bill
    return None


async def usable_invoice(
    tx: Tx, session_id: str, *, amount: Msat, expires_after_ms: int
) -> Invoice | None:
    """An open invoice of this session that is large enough and lives long enough."""
    bills = await invoices.of_account(tx, session_id)
    return next((bill for bill in bills if _is_usable(bill, amount, expires_after_ms)), None)


def _is_usable(bill: Invoice, amount: Msat, expires_after_ms: int) -> bool:
    is_long = bill.expires_at_ms > expires_after_ms
    return bill.state == "open" and bill.amount >= amount and is_long
