"""The audit: do the books hold their invariants? It reads the ledger and changes nothing.

Checked: the legs of every transfer add up to 0; every stored sum is that of its entries; what is
held is the sum of open holds, and a hold was charged what it used; every hash covers what it
should; every paid invoice was credited exactly once; every job's account holds what was paid for
the job while it is open, and what it owes.
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
    "what came in and was spent are sums of entries": """
        SELECT a.account_id AS place FROM accounts a
        LEFT JOIN entries e ON e.account_id = a.account_id
        LEFT JOIN transfers t ON t.transfer_id = e.transfer_id
        GROUP BY a.account_id, a.deposited_msat, a.spent_msat
        HAVING a.deposited_msat <>
                SUM(CASE WHEN t.kind IN ('deposit', 'topup') THEN e.amount_msat ELSE 0 END)
            OR a.spent_msat <> SUM(CASE
                WHEN t.kind = 'charge' OR t.transfer_id LIKE 'return:%' THEN -e.amount_msat
                ELSE 0 END)""",
    "an entry belongs to an open account": """
        SELECT e.transfer_id AS place FROM entries e
        LEFT JOIN accounts a ON a.account_id = e.account_id
        WHERE a.account_id IS NULL
          AND e.account_id NOT IN ('wallet', 'revenue', 'suspense', 'fees', 'owner')""",
    "what is held is the sum of open holds": """
        SELECT a.account_id AS place FROM accounts a
        LEFT JOIN holds h ON h.account_id = a.account_id AND h.state = 'open'
        GROUP BY a.account_id, a.held_msat
        HAVING a.held_msat <> COALESCE(SUM(h.amount_msat), 0)""",
    "a hold was charged what it used": """
        SELECT h.hold_id AS place FROM holds h
        LEFT JOIN entries e ON e.transfer_id = 'charge:' || h.hold_id
            AND e.account_id = h.account_id
        GROUP BY h.hold_id, h.used_msat
        HAVING h.used_msat <> -COALESCE(SUM(e.amount_msat), 0)""",
    "a paid invoice is credited once": """
        SELECT i.payment_hash AS place FROM invoices i
        LEFT JOIN entries e ON e.transfer_id = 'settle:' || i.payment_hash
            AND e.account_id = i.account_id
        WHERE i.state = 'paid'
        GROUP BY i.payment_hash HAVING COUNT(e.transfer_id) <> 1""",
    "only a paid invoice is credited": """
        SELECT t.transfer_id AS place FROM transfers t
        LEFT JOIN invoices i ON t.transfer_id = 'settle:' || i.payment_hash
        WHERE t.transfer_id LIKE 'settle:%' AND (i.state IS NULL OR i.state <> 'paid')""",
    "a job's account holds what the job needs and owes": """
        SELECT j.job_id AS place FROM jobs j
        LEFT JOIN accounts a ON a.account_id = j.job_id
        LEFT JOIN refunds r ON r.account_id = j.job_id AND r.state IN ('due', 'sending', 'unknown')
        GROUP BY j.job_id, j.state, j.eval_fee_msat, j.price_sats, a.balance_msat
        HAVING COALESCE(a.balance_msat, -1) <> COALESCE(SUM(r.house_msat + r.own_msat), 0)
            + CASE WHEN j.state IN ('evaluating', 'awaiting_work_payment') THEN j.eval_fee_msat
                   WHEN j.state = 'executing' THEN j.eval_fee_msat + j.price_sats * 1000
                   ELSE 0 END""",
    "what is due arrives or is the fee of it": """
        SELECT refund_id AS place FROM refunds
        WHERE state = 'due' AND amount_msat + fee_msat <> house_msat + own_msat""",
}


async def _hash_faults(tx: Tx) -> list[Fault]:
    """Recompute the hash of every transfer, and the chain of every customer's account."""
    heads = await tx.all("SELECT account_id, chain_hash FROM accounts WHERE entry_count > 0")
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
    changed = [
        Fault("a transfer's hash covers it", transfer_id)
        for transfer_id, legs in by_transfer.items()
        if not _is_covered(legs)
    ]
    broken = [
        Fault("an account's entries are an unbroken chain", head["account_id"])
        for head in heads
        if not _is_chain(by_account.get(head["account_id"], []), head["chain_hash"])
    ]
    return changed + broken


def _is_covered(legs: list[Row]) -> bool:
    first = legs[0]
    fields = [first["transfer_id"], first["kind"], first["ref"], first["reason"]]
    sides = [(leg["account_id"], leg["amount_msat"]) for leg in legs]
    expected = ledger.hash_transfer([*fields, str(first["at_ms"])], sides)
    return bool(expected == first["hash"])


def _is_chain(entries: list[Row], head: bytes) -> bool:
    """Whether these entries, each covering the one before, end in the account's own hash."""
    previous, balance = bytes(32), 0
    in_order = sorted(entries, key=lambda entry: int(entry["number"]))
    for number, entry in enumerate(in_order, start=1):
        balance += entry["amount_msat"]
        previous = ledger.chain(previous, entry["hash"], entry["amount_msat"], balance)
        found = (entry["number"], entry["balance_msat"], entry["chain_hash"])
        if found != (number, balance, previous):
            return False
    return bool(previous == head)
