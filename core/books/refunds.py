"""Refunds: what is owed back, from the moment it is owed.

A `due` row of an account grows with new debts. A debt that is our own fault is paid out whole, the
house pays its routing fee (`house_msat`); any other pays its own (`own_msat`): what arrives is then
whole satoshi of the debt less the fee cap.
"""

from dataclasses import dataclass
from typing import Literal

from core.store.port import Row, Tx
from core.values.ids import new_id
from core.values.money import MSAT_PER_SAT, NOTHING, Msat, payout_sats
from core.values.terms import FeeRule

RefundState = Literal["due", "sending", "paid", "unknown", "credited"]


@dataclass(frozen=True, slots=True)
class Debt:
    """A new debt: the part whose routing fee the house pays, and the part that pays its own."""

    house: Msat = NOTHING
    own: Msat = NOTHING

    @property
    def total(self) -> Msat:
        """Both parts."""
        return Msat(self.house + self.own)


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund. `amount` is what arrives; `fee` the reserve, later the real fee."""

    refund_id: str
    account_id: str
    state: RefundState
    debt: Debt
    amount: Msat
    fee: Msat
    destination: str | None
    created_at_ms: int
    updated_at_ms: int


async def owe(tx: Tx, account_id: str, debt: Debt, rule: FeeRule, now_ms: int) -> None:
    """Add a debt to the account's due refund, or open one. The money stays on the account."""
    if not debt.total:
        return
    row = await tx.one(
        "SELECT house_msat, own_msat FROM refunds WHERE account_id = :account_id AND state = 'due'",
        account_id=account_id,
    )
    grown = debt
    if row is not None:
        grown = Debt(Msat(row["house_msat"] + debt.house), Msat(row["own_msat"] + debt.own))
    amount, fee = _split(grown, rule)
    await tx.run(
        "INSERT INTO refunds (refund_id, account_id, state, house_msat, own_msat, amount_msat,"
        " fee_msat, created_at_ms, updated_at_ms) VALUES (:refund_id, :account_id, 'due', :house,"
        " :own, :amount, :fee, :now_ms, :now_ms)"
        " ON CONFLICT (account_id) WHERE state = 'due' DO UPDATE SET house_msat = :house,"
        " own_msat = :own, amount_msat = :amount, fee_msat = :fee, updated_at_ms = :now_ms",
        refund_id=new_id("rfd"),
        account_id=account_id,
        house=grown.house,
        own=grown.own,
        amount=amount,
        fee=fee,
        now_ms=now_ms,
    )


async def credit(tx: Tx, account_id: str, amount: Msat, session_id: str, now_ms: int) -> None:
    """Note that an account's debt went whole to a session's balance."""
    await tx.run(
        "INSERT INTO refunds (refund_id, account_id, state, house_msat, own_msat, amount_msat,"
        " fee_msat, destination, created_at_ms, updated_at_ms) VALUES (:refund_id, :account_id,"
        " 'credited', 0, :amount, :amount, 0, :session_id, :now_ms, :now_ms)",
        refund_id=new_id("rfd"),
        account_id=account_id,
        amount=amount,
        session_id=session_id,
        now_ms=now_ms,
    )


async def of_account(tx: Tx, account_id: str) -> list[Refund]:
    """All refunds of a job or session, oldest first."""
    rows = await tx.all(
        "SELECT refund_id, account_id, state, house_msat, own_msat, amount_msat, fee_msat,"
        " destination, created_at_ms, updated_at_ms FROM refunds WHERE account_id = :account_id"
        " ORDER BY created_at_ms, refund_id",
        account_id=account_id,
    )
    return [_refund(row) for row in rows]


async def owed(tx: Tx, account_id: str) -> Msat:
    """What is owed back to this account and has not been paid out or credited."""
    row = await tx.one(
        "SELECT CAST(COALESCE(SUM(house_msat + own_msat), 0) AS BIGINT) AS total FROM refunds"
        " WHERE account_id = :account_id AND state IN ('due', 'sending', 'unknown')",
        account_id=account_id,
    )
    assert row is not None
    return Msat(row["total"])


def _split(debt: Debt, rule: FeeRule) -> tuple[Msat, Msat]:
    """What arrives of a debt that is paid out, and the routing fee that the debt itself pays."""
    own_arrives = max(0, payout_sats(Msat(debt.own - rule.cap(debt.own)))) * MSAT_PER_SAT
    house_arrives = payout_sats(debt.house) * MSAT_PER_SAT
    return Msat(own_arrives + house_arrives), Msat(debt.total - own_arrives - house_arrives)


def _refund(row: Row) -> Refund:
    return Refund(
        refund_id=row["refund_id"],
        account_id=row["account_id"],
        state=row["state"],
        debt=Debt(Msat(row["house_msat"]), Msat(row["own_msat"])),
        amount=Msat(row["amount_msat"]),
        fee=Msat(row["fee_msat"]),
        destination=row["destination"],
        created_at_ms=row["created_at_ms"],
        updated_at_ms=row["updated_at_ms"],
    )
