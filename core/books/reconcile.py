"""Reconcile: one payment of the wallet's own list, compared with the books.

A payment that carries our mark is booked to its account, whatever the books have lost. One without
it is the owner's: what came in is a deposit of the owner, what went out a draw, as long as the
wallet still covers what customers are owed.
"""

from collections.abc import Sequence
from typing import Literal

from core.books import cover, invoices, ledger, recovered, settlement
from core.books.invoices import Purpose
from core.books.ledger import OWNER, WALLET, Leg, Transfer
from core.books.settlement import Payment
from core.store.port import Tx
from core.values.ids import is_id
from core.values.money import Msat
from core.values.terms import JobTerms
from core.wallets.port import Movement

Found = Literal[
    "known",  # nothing is to be done
    "heard late",  # of an invoice in the books, whose payment nobody had told us
    "recovered",  # marked, and the books had lost it
    "shortfall",  # the same, and its account could not bear it; it is frozen
    "owner's deposit",
    "owner's draw",
    "uncovered",  # nobody ordered it, and what is left does not cover what is owed; not booked
]

_PURPOSES: dict[str, Purpose] = {
    "eval": "eval",
    "work": "work",
    "deposit": "deposit",
    "topup": "topup",
}


async def book_all(
    tx: Tx, listed: Sequence[Movement], *, wallet_holds: Msat, terms: JobTerms, now_ms: int
) -> list[Found]:
    """Do `book` for each of these, in this order."""
    return [
        await book(tx, moved, wallet_holds=wallet_holds, terms=terms, now_ms=now_ms)
        for moved in listed
    ]


async def book(
    tx: Tx, moved: Movement, *, wallet_holds: Msat, terms: JobTerms, now_ms: int
) -> Found:
    """Compare one settled payment of the wallet with the books, and book what they lack."""
    if moved.direction == "in":
        return await _came_in(tx, moved, terms, now_ms)
    return await _went_out(tx, moved, wallet_holds, terms, now_ms)


async def booked(tx: Tx, since_ms: int, until_ms: int) -> list[str]:
    """Transfers between these times that are payments at the wallet."""
    rows = await tx.all(
        "SELECT transfer_id FROM transfers WHERE at_ms > :since_ms AND at_ms <= :until_ms"
        " AND (transfer_id LIKE 'settle:%' OR transfer_id LIKE 'paid:%')",
        since_ms=since_ms,
        until_ms=until_ms,
    )
    return [row["transfer_id"] for row in rows]


async def _came_in(tx: Tx, moved: Movement, terms: JobTerms, now_ms: int) -> Found:
    invoice = await invoices.get(tx, moved.payment_hash)
    if invoice is not None:
        payment = Payment(moved.payment_hash, moved.amount)
        is_news = await settlement.settle(tx, payment, terms, now_ms)
        return "heard late" if is_news else "known"
    purpose = _PURPOSES.get(moved.extra.get("kind", ""))
    if purpose is not None and recovered.account_of(moved) is not None:
        await recovered.payment(tx, moved, purpose, terms, now_ms)
        return "recovered"
    if await _is_owners(tx, moved):
        return "known"
    await _book_owners(tx, moved, Msat(moved.amount), now_ms)
    return "owner's deposit"


async def _went_out(
    tx: Tx, moved: Movement, wallet_holds: Msat, terms: JobTerms, now_ms: int
) -> Found:
    known = await tx.one(
        "SELECT 1 AS one FROM payouts WHERE payment_hash = :payment_hash"
        " AND state IN ('paid', 'ready', 'begun')",  # the payer asks after what it has begun
        payment_hash=moved.payment_hash,
    )
    if known is not None:
        return "known"
    is_ours = moved.extra.get("kind") == "payout" and is_id("rfd", moved.extra.get("refund", ""))
    if is_ours and recovered.account_of(moved) is not None:
        return "shortfall" if await recovered.payout(tx, moved, terms, now_ms) else "recovered"
    if await _is_owners(tx, moved):
        return "known"
    if (await cover.owed(tx)).to_hold > wallet_holds:
        return "uncovered"
    await _book_owners(tx, moved, Msat(-moved.amount - moved.fee), now_ms)
    return "owner's draw"


async def _is_owners(tx: Tx, moved: Movement) -> bool:
    row = await tx.one(
        "SELECT 1 AS one FROM transfers WHERE transfer_id = :transfer_id",
        transfer_id=_owners_name(moved),
    )
    return row is not None


async def _book_owners(tx: Tx, moved: Movement, amount: Msat, now_ms: int) -> None:
    """Money that the owner has put in, or with a negative amount drawn."""
    what = Transfer(_owners_name(moved), "transfer", moved.payment_hash, now_ms)
    await ledger.transfer(tx, what, [Leg(OWNER, amount), Leg(WALLET, Msat(-amount))])


def _owners_name(moved: Movement) -> str:
    return f"owner-{moved.direction}:{moved.payment_hash}"
