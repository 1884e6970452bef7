"""The audit: do the books hold their invariants? It reads the ledger and changes nothing.

Checked: the legs of every transfer add up to 0; every stored sum is that of its entries; what is
held is the sum of open holds, and a hold was charged what it used; every hash covers what it
should; every paid invoice was credited exactly once; a session that was joined to another has
nothing; every job's account holds what was paid for the job while it is open, and what it owes;
suspense holds the withdrawals that are on their way.

Each rule looks at a range of one table's keys, so that large books can be audited part by part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.books import ledger
from core.store.port import Row, Tx


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken invariant: which, and where."""

    rule: str
    where: str


@dataclass(frozen=True, slots=True)
class Place:
    """How far an audit has come: all keys of the tables before, and of this one up to `after`."""

    table: str
    after: str = ""


START = Place("transfers")
PART_ROWS = 200


async def audit(tx: Tx) -> list[Fault]:
    """All broken invariants; an empty list is balanced books."""
    faults: list[Fault] = []
    place: Place | None = START
    while place is not None:
        found, place = await audit_part(tx, place)
        faults += found
    return faults


async def audit_part(tx: Tx, place: Place) -> tuple[Sequence[Fault], Place | None]:
    """What is broken in the next few rows, and where to go on; None at the end."""
    key = _KEYS[place.table]
    faults = await _house_faults(tx) if place == START else []
    rows = await tx.all(
        f"SELECT {key} AS place FROM {place.table} WHERE {key} > :after ORDER BY {key} LIMIT :rows",
        after=place.after,
        rows=PART_ROWS,
    )
    if not rows:
        return faults, _next_table(place.table)
    first, last = rows[0]["place"], rows[-1]["place"]
    for rule, sql in _RULES[place.table].items():
        broken = await tx.all(sql, first=first, last=last)
        faults += [Fault(rule, row["place"]) for row in broken]
    if place.table == "transfers":
        faults += await _uncovered(tx, first, last)
    if place.table == "accounts":
        faults += await _broken_chains(tx, first, last)
    is_end = len(rows) < PART_ROWS
    return faults, _next_table(place.table) if is_end else Place(place.table, last)


def _next_table(table: str) -> Place | None:
    tables = list(_KEYS)
    at = tables.index(table) + 1
    return Place(tables[at]) if at < len(tables) else None


_KEYS: Mapping[str, str] = {
    "transfers": "transfer_id",
    "accounts": "account_id",
    "holds": "hold_id",
    "invoices": "payment_hash",
    "jobs": "job_id",
    "refunds": "refund_id",
}

_RULES: Mapping[str, Mapping[str, str]] = {
    "transfers": {
        "the legs of a transfer add up to 0": """
            SELECT t.transfer_id AS place FROM transfers t
            LEFT JOIN entries e ON e.transfer_id = t.transfer_id
            WHERE t.transfer_id BETWEEN :first AND :last
            GROUP BY t.transfer_id HAVING COALESCE(SUM(e.amount_msat), 1) <> 0""",
        "an entry belongs to an open account": """
            SELECT e.transfer_id AS place FROM entries e
            LEFT JOIN accounts a ON a.account_id = e.account_id
            WHERE e.transfer_id BETWEEN :first AND :last AND a.account_id IS NULL
              AND e.account_id NOT IN ('wallet', 'revenue', 'suspense', 'fees', 'owner')""",
        "only a paid invoice is credited": """
            SELECT t.transfer_id AS place FROM transfers t
            LEFT JOIN invoices i ON t.transfer_id = 'settle:' || i.payment_hash
            WHERE t.transfer_id BETWEEN :first AND :last AND t.transfer_id LIKE 'settle:%'
              AND (i.state IS NULL OR i.state <> 'paid')""",
    },
    "accounts": {
        "a balance is the sum of its entries": """
            SELECT a.account_id AS place FROM accounts a
            LEFT JOIN entries e ON e.account_id = a.account_id
            WHERE a.account_id BETWEEN :first AND :last
            GROUP BY a.account_id, a.balance_msat, a.entry_count
            HAVING a.balance_msat <> COALESCE(SUM(e.amount_msat), 0)
                OR a.entry_count <> COUNT(e.transfer_id)""",
        "what came in and was spent are sums of entries": """
            SELECT a.account_id AS place FROM accounts a
            LEFT JOIN entries e ON e.account_id = a.account_id
            LEFT JOIN transfers t ON t.transfer_id = e.transfer_id
            WHERE a.account_id BETWEEN :first AND :last
            GROUP BY a.account_id, a.deposited_msat, a.spent_msat
            HAVING a.deposited_msat <>
                    SUM(CASE WHEN t.kind IN ('deposit', 'topup') THEN e.amount_msat ELSE 0 END)
                OR a.spent_msat <> SUM(CASE
                    WHEN t.kind = 'charge' OR t.transfer_id LIKE 'return:%' THEN -e.amount_msat
                    ELSE 0 END)""",
        "a session that was joined to another has nothing": """
            SELECT a.account_id AS place FROM accounts a
            JOIN sessions s ON s.session_id = a.account_id
            WHERE a.account_id BETWEEN :first AND :last AND s.joined_to IS NOT NULL
              AND (a.balance_msat <> 0 OR a.held_msat <> 0)""",
        "what is held is the sum of open holds": """
            SELECT a.account_id AS place FROM accounts a
            LEFT JOIN holds h ON h.account_id = a.account_id AND h.state = 'open'
            WHERE a.account_id BETWEEN :first AND :last
            GROUP BY a.account_id, a.held_msat
            HAVING a.held_msat <> COALESCE(SUM(h.amount_msat), 0)""",
    },
    "holds": {
        "a hold was charged what it used": """
            SELECT h.hold_id AS place FROM holds h
            LEFT JOIN entries e ON e.transfer_id = 'charge:' || h.hold_id
                AND e.account_id = h.account_id
            WHERE h.hold_id BETWEEN :first AND :last
            GROUP BY h.hold_id, h.used_msat
            HAVING h.used_msat <> -COALESCE(SUM(e.amount_msat), 0)""",
    },
    "invoices": {
        "a paid invoice is credited once": """
            SELECT i.payment_hash AS place FROM invoices i
            LEFT JOIN entries e ON e.transfer_id = 'settle:' || i.payment_hash
                AND e.account_id = i.account_id
            WHERE i.payment_hash BETWEEN :first AND :last AND i.state = 'paid'
            GROUP BY i.payment_hash HAVING COUNT(e.transfer_id) <> 1""",
    },
    "jobs": {
        "a job's account holds what the job needs and owes": """
            SELECT j.job_id AS place FROM jobs j
            LEFT JOIN accounts a ON a.account_id = j.job_id
            LEFT JOIN refunds r ON r.account_id = j.job_id
                AND r.state IN ('due', 'sending', 'unknown')
            WHERE j.job_id BETWEEN :first AND :last
            GROUP BY j.job_id, j.state, j.eval_fee_msat, j.price_sats, a.balance_msat
            HAVING COALESCE(a.balance_msat, -1) <> COALESCE(SUM(r.house_msat + r.own_msat), 0)
                + CASE
                    WHEN j.state IN ('evaluating', 'awaiting_work_payment') THEN j.eval_fee_msat
                    WHEN j.state = 'executing' THEN j.eval_fee_msat + j.price_sats * 1000
                    ELSE 0 END""",
    },
    "refunds": {
        "what is due arrives or is the fee of it": """
            SELECT refund_id AS place FROM refunds
            WHERE refund_id BETWEEN :first AND :last
              AND state = 'due' AND amount_msat + fee_msat <> house_msat + own_msat""",
    },
}

_RULES_OF_THE_HOUSE: Mapping[str, str] = {
    "suspense holds the withdrawals on their way": """
        SELECT 'suspense' AS place
        WHERE (SELECT COALESCE(SUM(amount_msat), 0) FROM entries WHERE account_id = 'suspense')
           <> (SELECT COALESCE(SUM(amount_msat + own_fee_msat), 0) FROM payouts
               WHERE state IN ('ready', 'begun') AND account_id LIKE 'ses%')""",
}


async def _house_faults(tx: Tx) -> list[Fault]:
    """What is broken in the books as a whole."""
    found = {rule: await tx.all(sql) for rule, sql in _RULES_OF_THE_HOUSE.items()}
    return [Fault(rule, row["place"]) for rule, rows in found.items() for row in rows]


async def _uncovered(tx: Tx, first: str, last: str) -> list[Fault]:
    """Recompute the hash of every transfer."""
    rows = await tx.all(
        "SELECT t.transfer_id, t.kind, t.ref, t.reason, t.at_ms, t.hash, e.account_id,"
        " e.amount_msat FROM transfers t JOIN entries e ON e.transfer_id = t.transfer_id"
        " WHERE t.transfer_id BETWEEN :first AND :last ORDER BY t.transfer_id, e.leg",
        first=first,
        last=last,
    )
    by_transfer: dict[str, list[Row]] = {}
    for row in rows:
        by_transfer.setdefault(row["transfer_id"], []).append(row)
    return [
        Fault("a transfer's hash covers it", transfer_id)
        for transfer_id, legs in by_transfer.items()
        if not _is_covered(legs)
    ]


async def _broken_chains(tx: Tx, first: str, last: str) -> list[Fault]:
    """Recompute the chain of every customer's account."""
    heads = await tx.all(
        "SELECT account_id, chain_hash FROM accounts"
        " WHERE account_id BETWEEN :first AND :last AND entry_count > 0",
        first=first,
        last=last,
    )
    rows = await tx.all(
        "SELECT t.hash, e.account_id, e.amount_msat, e.number, e.balance_msat, e.chain_hash"
        " FROM entries e JOIN transfers t ON t.transfer_id = e.transfer_id"
        " WHERE e.account_id BETWEEN :first AND :last AND e.number IS NOT NULL",
        first=first,
        last=last,
    )
    by_account: dict[str, list[Row]] = {}
    for row in rows:
        by_account.setdefault(row["account_id"], []).append(row)
    return [
        Fault("an account's entries are an unbroken chain", head["account_id"])
        for head in heads
        if not _is_chain(by_account.get(head["account_id"], []), head["chain_hash"])
    ]


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
