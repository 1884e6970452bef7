"""Invoices: what we asked for, and whether the wallet has shown it paid.

An invoice is watched while it is open. Its expiry is told to the payer, but a payment after it
counts all the same; `closed` only means that nobody waits for it any more.
"""

from dataclasses import dataclass
from typing import Literal

from core.store.port import Row, Tx
from core.values.money import Msat
from core.wallets.port import WalletInvoice

Purpose = Literal["eval", "work", "deposit", "topup"]
InvoiceState = Literal["open", "paid", "closed"]
Status = Literal["open", "paid", "expired"]

_COLUMNS = (
    "payment_hash, account_id, purpose, bolt11, amount_msat, state, created_at_ms, expires_at_ms,"
    " paid_at_ms"
)


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice of ours. `account_id` is the job or session that a payment is credited to."""

    payment_hash: str
    account_id: str
    purpose: Purpose
    bolt11: str
    amount: Msat
    state: InvoiceState
    created_at_ms: int
    expires_at_ms: int
    paid_at_ms: int | None

    def status(self, now_ms: int) -> Status:
        """What the payer is told: one that nobody waits for any more counts as expired."""
        if self.state == "paid":
            return "paid"
        return "open" if self.state == "open" and self.expires_at_ms > now_ms else "expired"


def fresh(made: WalletInvoice, account_id: str, purpose: Purpose, now_ms: int) -> Invoice:
    """The invoice that the wallet just made, for this job or session."""
    return Invoice(
        payment_hash=made.payment_hash,
        account_id=account_id,
        purpose=purpose,
        bolt11=made.bolt11,
        amount=made.amount,
        state="open",
        created_at_ms=now_ms,
        expires_at_ms=made.expires_at_ms,
        paid_at_ms=None,
    )


async def add(tx: Tx, invoice: Invoice, *, client: str) -> None:
    """Record a fresh invoice; `client` is the address that it counts against while it is open."""
    await tx.run(
        "INSERT INTO invoices (payment_hash, account_id, purpose, bolt11, amount_msat, state,"
        " client, created_at_ms, expires_at_ms) VALUES (:payment_hash, :account_id, :purpose,"
        " :bolt11, :amount, 'open', :client, :created_at_ms, :expires_at_ms)",
        payment_hash=invoice.payment_hash,
        account_id=invoice.account_id,
        purpose=invoice.purpose,
        bolt11=invoice.bolt11,
        amount=invoice.amount,
        client=client,
        created_at_ms=invoice.created_at_ms,
        expires_at_ms=invoice.expires_at_ms,
    )


async def mark_paid(tx: Tx, payment_hash: str, now_ms: int) -> Invoice | None:
    """Mark an invoice of ours paid, once; None where it is not ours or was marked before."""
    row = await tx.one(
        "UPDATE invoices SET state = 'paid', paid_at_ms = :now_ms"
        f" WHERE payment_hash = :payment_hash AND state <> 'paid' RETURNING {_COLUMNS}",
        payment_hash=payment_hash,
        now_ms=now_ms,
    )
    return None if row is None else _invoice(row)


async def get(tx: Tx, payment_hash: str) -> Invoice | None:
    """One invoice by its hash."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM invoices WHERE payment_hash = :payment_hash",
        payment_hash=payment_hash,
    )
    return None if row is None else _invoice(row)


async def of_account(tx: Tx, account_id: str) -> list[Invoice]:
    """All invoices of a job or session, newest first."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM invoices WHERE account_id = :account_id"
        " ORDER BY created_at_ms DESC, payment_hash",
        account_id=account_id,
    )
    return [_invoice(row) for row in rows]


async def count_open(tx: Tx, client: str, now_ms: int) -> int:
    """How many invoices this client could pay now; one that has expired counts no more."""
    row = await tx.one(
        "SELECT COUNT(*) AS n FROM invoices"
        " WHERE client = :client AND state = 'open' AND expires_at_ms > :now_ms",
        client=client,
        now_ms=now_ms,
    )
    assert row is not None
    return int(row["n"])


async def close_of_account(tx: Tx, account_id: str) -> None:
    """Stop waiting for what is still open; a payment that comes all the same is owed back."""
    await tx.run(
        "UPDATE invoices SET state = 'closed' WHERE account_id = :account_id AND state = 'open'",
        account_id=account_id,
    )


async def forget_of_account(tx: Tx, account_id: str) -> None:
    """Delete the invoices of a job that was never paid."""
    await tx.run(
        "DELETE FROM invoices WHERE account_id = :account_id AND state <> 'paid'",
        account_id=account_id,
    )


def _invoice(row: Row) -> Invoice:
    return Invoice(
        payment_hash=row["payment_hash"],
        account_id=row["account_id"],
        purpose=row["purpose"],
        bolt11=row["bolt11"],
        amount=Msat(row["amount_msat"]),
        state=row["state"],
        created_at_ms=row["created_at_ms"],
        expires_at_ms=row["expires_at_ms"],
        paid_at_ms=row["paid_at_ms"],
    )
