"""The audit: do the books hold their invariants? It reads the ledger and changes nothing.

Checked: the legs of every transfer add up to 0; every stored balance is the sum of its entries and
never below what is held; what is held is the sum of open holds; every hash covers what it should;
every paid invoice was credited exactly once; every debt is backed by its job's account.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from core.books import ledger
from core.store.port import Row, Tx


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken invariant: which, and where."""

    rule: str
    where: str


async def audit(tx: Tx) -> list[Fault]:
    """All broken invariants; an empty list is balanced books."""
    faults: list[Fault] = []
    for rule, sql in _RULES.items():
        faults += [Fault(rule, row["place"]) for row in await tx.all(sql)]
    return faults + await _hash_faults(tx)


_RULES: Mapping[str, str] = {
    "the legs of a transfer add up to 0": """
        SELECT t.transfer_id AS place FROM transfers t
        LEFT JOIN entries e ON e.transfer_id = t.transfer_id
        GROUP BY t.transfer_id HAVING COALESCE(SUM(e.amount_msat), 1) <> 0""",
    "a balance is the sum of its entries": """
        SELECT a.account_id AS place FROM accounts a
        LEFT JOIN entries e ON e.account_id = a.account_id
        GROUP BY a.account_id, a.balance_msat, a.entry_count
        HAVING a.balance_msat <> COALESCE(SUM(e.amount_msat), 0)
            OR a.entry_count <> COUNT(e.transfer_id)""",
    "an entry belongs to an open account": """
        SELECT e.transfer_id AS place FROM entries e
        LEFT JOIN accounts a ON a.account_id = e.account_id
        WHERE a.account_id IS NULL
          AND e.account_id NOT IN ('wallet', 'revenue', 'suspense', 'fees')""",
    "what is held is the sum of open holds": """
        SELECT a.account_id AS place FROM accounts a
        LEFT JOIN holds h ON h.account_id = a.account_id AND h.state = 'open'
        GROUP BY a.account_id, a.held_msat
        HAVING a.held_msat <> COALESCE(SUM(h.amount_msat), 0)""",
    "a paid invoice is credited once": """
        SELECT i.payment_hash AS place FROM invoices i
        LEFT JOIN entries e ON e.transfer_id = 'settle:' || i.payment_hash
            AND e.account_id <> 'wallet'
        WHERE i.state = 'paid'
        GROUP BY i.payment_hash HAVING COUNT(e.transfer_id) <> 1""",
    "only a paid invoice is credited": """
        SELECT t.transfer_id AS place FROM transfers t
        LEFT JOIN invoices i ON t.transfer_id = 'settle:' || i.payment_hash
        WHERE t.transfer_id LIKE 'settle:%' AND (i.state IS NULL OR i.state <> 'paid')""",
    "a job that has ended keeps only what it owes": """
        SELECT j.job_id AS place FROM jobs j
        JOIN accounts a ON a.account_id = j.job_id
        LEFT JOIN refunds r ON r.account_id = j.job_id AND r.state IN ('due', 'sending', 'unknown')
        WHERE j.ended_at_ms IS NOT NULL
        GROUP BY j.job_id, a.balance_msat
        HAVING a.balance_msat <> COALESCE(SUM(r.house_msat + r.own_msat), 0)""",
}


async def _hash_faults(tx: Tx) -> list[Fault]:
    """Recompute the hash of every transfer, and the chain of every customer's account."""
    faults: list[Fault] = []
    rows = await tx.all(
        "SELECT t.transfer_id, t.kind, t.ref, t.reason, t.at_ms, t.hash, e.leg, e.account_id,"
        " e.amount_msat, e.number, e.balance_msat, e.chain_hash"
        " FROM transfers t JOIN entries e ON e.transfer_id = t.transfer_id"
        " ORDER BY t.transfer_id, e.leg"
    )
    by_transfer: dict[str, list[Row]] = {}
    by_account: dict[str, list[Row]] = {}
    for row in rows:
        by_transfer.setdefault(row["transfer_id"], []).append(row)
        if row["number"] is not None:
            by_account.setdefault(row["account_id"], []).append(row)
    faults += [
        Fault("a transfer's hash covers it", transfer_id)
        for transfer_id, legs in by_transfer.items()
        if not _is_covered(legs)
    ]
    faults += [
        Fault("an account's entries are an unbroken chain", account_id)
        for account_id, entries in by_account.items()
        if not _is_chained(sorted(entries, key=lambda entry: int(entry["number"])))
    ]
    return faults


def _is_covered(legs: list[Row]) -> bool:
    first = legs[0]
    fields = [first["transfer_id"], first["kind"], first["ref"], first["reason"]]
    sides = [(leg["account_id"], leg["amount_msat"]) for leg in legs]
    expected = ledger.hash_transfer([*fields, str(first["at_ms"])], sides)
    return bool(expected == first["hash"])


def _is_chained(entries: list[Row]) -> bool:
    previous, balance = bytes(32), 0
    for number, entry in enumerate(entries, start=1):
        balance += entry["amount_msat"]
        previous = ledger.chain(previous, entry["hash"], entry["amount_msat"], balance)
        if (entry["number"], entry["balance_msat"]) != (number, balance):
            return False
        if entry["chain_hash"] != previous:
            return False
    return True
