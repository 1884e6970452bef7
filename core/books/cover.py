"""Cover: what the wallet must hold for the customers, at this moment.

All balances of customers are owed, and what is set aside in suspense for withdrawals that have not
left. Of what the wallet has been told to pay it may be without the money already, fee included;
that counts neither as owed nor as there until the wallet proves how it ended.
"""

from dataclasses import dataclass

from core.books import ledger
from core.books.ledger import SUSPENSE
from core.store.port import Tx
from core.values.money import Msat


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed in all, and how much of it may be leaving the wallet just now."""

    total: Msat
    leaving: Msat

    @property
    def to_hold(self) -> Msat:
        """The least that the wallet must hold."""
        return Msat(max(0, self.total - self.leaving))


async def owed(tx: Tx) -> Owed:
    """What customers are owed now."""
    customers = await _sum(tx, "SELECT SUM(balance_msat) AS msat FROM accounts")
    suspense = await ledger.house_balance(tx, SUSPENSE)
    leaving = await _sum(
        tx,
        "SELECT SUM(amount_msat + own_fee_msat + house_fee_msat) AS msat FROM payouts"
        " WHERE state = 'begun'",
    )
    return Owed(Msat(customers + suspense), Msat(leaving))


async def _sum(tx: Tx, sql: str) -> int:
    """What this query adds up, where there is nothing to add 0."""
    row = await tx.one(sql)
    assert row is not None
    return int(row["msat"] or 0)
