"""The books of a stopped program, looked at from outside: do they hold what they must?

The checker opens the database itself and compares it with the journals of those whom the program
dealt with: what the wallet received and what the model was asked. An empty list is good books.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson

from core.books.audit import audit
from core.store.port import Row, Tx
from core.values.states import EDGES, is_final
from tests.conftest import Database

EVALUATION_CALLS_MAX = 6
WORK_CALLS_MAX = 3
_TICKET = re.compile(r"ticket ([0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Outside:
    """What others know: msat by payment hash, and calls of the model by ticket.

    What the wallet has sent is negative, fees included.
    """

    received: Mapping[str, int]
    evaluations: Counter[str]
    works: Counter[str]

    @classmethod
    def of(
        cls, received: Iterable[tuple[str, int]], calls: Iterable[tuple[bool, Mapping[str, Any]]]
    ) -> Self:
        """From the journals; a call says whether it is an evaluation, and its body."""
        sums: defaultdict[str, int] = defaultdict(int)
        for payment_hash, amount_msat in received:
            sums[payment_hash] += amount_msat
        evaluations: Counter[str] = Counter()
        works: Counter[str] = Counter()
        for is_evaluation, body in calls:
            kind = evaluations if is_evaluation else works
            kind.update(_TICKET.findall(body["messages"][-1]["content"]))
        return cls(sums, evaluations, works)


async def broken(database: Database, outside: Outside) -> list[str]:
    """What does not hold in the books of a program that has stopped, all its jobs ended."""
    store = await database.open()
    try:
        return await store.read(_broken, outside)
    finally:
        await store.aclose()


async def _broken(tx: Tx, outside: Outside) -> list[str]:
    return [
        *(f"{fault.rule}: {fault.where}" for fault in await audit(tx)),
        *await _payments(tx, outside),
        *await _payouts(tx, outside),
        *await _jobs(tx, outside),
        *await _edges(tx),
        *[f"a hold stays open: {row['hold_id']}" for row in await tx.all(_OPEN_HOLDS)],
    ]


_OPEN_HOLDS = "SELECT hold_id FROM holds WHERE state = 'open'"


async def _payments(tx: Tx, outside: Outside) -> list[str]:
    """Every payment that the wallet got for an invoice of ours is credited once, and no other."""
    ours = {row["payment_hash"] for row in await tx.all("SELECT payment_hash FROM invoices")}
    credited: defaultdict[str, list[int]] = defaultdict(list)
    for row in await tx.all(
        "SELECT e.transfer_id, e.amount_msat FROM entries e"
        " WHERE e.transfer_id LIKE 'settle:%' AND e.account_id = 'wallet'"
    ):
        credited[row["transfer_id"].removeprefix("settle:")].append(-row["amount_msat"])
    expected = {known: [msat] for known, msat in outside.received.items() if known in ours}
    return [
        f"payment {payment_hash}: received {expected.get(payment_hash)},"
        f" credited {credited.get(payment_hash)}"
        for payment_hash in expected.keys() | credited.keys()
        if expected.get(payment_hash) != credited.get(payment_hash)
    ]


async def _payouts(tx: Tx, outside: Outside) -> list[str]:
    """Every payment that left the wallet is booked once, each refund has left it once at most."""
    sent = {known: -msat for known, msat in outside.received.items() if msat < 0}
    booked = {
        row["transfer_id"].removeprefix("paid:"): row["amount_msat"]
        for row in await tx.all(
            "SELECT transfer_id, amount_msat FROM entries"
            " WHERE transfer_id LIKE 'paid:%' AND account_id = 'wallet'"
        )
    }
    faults = [
        f"payout {payment_hash}: sent {sent.get(payment_hash)}, booked {booked.get(payment_hash)}"
        for payment_hash in sent.keys() | booked.keys()
        if sent.get(payment_hash) != booked.get(payment_hash)
    ]
    left: Counter[str] = Counter()
    for row in await tx.all("SELECT payment_hash, refund_id FROM payouts"):
        left[row["refund_id"]] += row["payment_hash"] in sent
    return faults + [f"a refund that left twice: {name}" for name, n in left.items() if n > 1]


async def _jobs(tx: Tx, outside: Outside) -> list[str]:
    """Every job has ended, nobody was called too often or unpaid, and no msat is missing."""
    faults = []
    for job in await tx.all("SELECT * FROM jobs WHERE session_id IS NULL"):
        found = await _faults_of(tx, job, outside)
        faults += [f"not so: {fault}: {job['job_id']} ({job['state']})" for fault in found]
    return faults


async def _faults_of(tx: Tx, job: Row, outside: Outside) -> list[str]:
    paid: Counter[str] = Counter()
    for row in await tx.all(
        "SELECT purpose, payment_hash FROM invoices WHERE account_id = :job_id",
        job_id=job["job_id"],
    ):
        paid[row["purpose"]] += outside.received.get(row["payment_hash"], 0)
    tickets = _TICKET.findall(job["request"] or "")  # a job that was made again has none
    evaluations = sum(outside.evaluations[ticket] for ticket in tickets)
    works = sum(outside.works[ticket] for ticket in tickets)
    earned, owed, paid_back = await _sums(tx, job["job_id"])
    promises = {
        "it has ended": is_final(job["state"]),
        "evaluated at most 6 times": evaluations <= EVALUATION_CALLS_MAX,
        "worked on at most 3 times": works <= WORK_CALLS_MAX,
        "every evaluation is counted": evaluations <= job["eval_calls"],
        "every work call is counted": works <= job["work_calls"],
        "paid before it is evaluated": not evaluations or paid["eval"] >= job["eval_fee_msat"],
        "paid before it is worked on": not works or paid["work"] >= job["price_sats"] * 1000,
        "earned is what its end says": earned == _earned_by(job, paid["eval"]),
        "paid is earned, owed or paid back": paid.total() == earned + owed + paid_back,
    }
    return [promise for promise, is_kept in promises.items() if not is_kept]


async def _sums(tx: Tx, job_id: str) -> tuple[int, int, int]:
    """What was earned with a job, what is owed back, and what was paid back."""
    earned = await tx.one(
        "SELECT CAST(COALESCE(SUM(amount_msat), 0) AS BIGINT) AS msat FROM entries"
        " WHERE transfer_id = :transfer_id AND account_id = 'revenue'",
        transfer_id=f"earn:{job_id}",
    )
    owed = await tx.one(
        "SELECT CAST(COALESCE(SUM(house_msat + own_msat), 0) AS BIGINT) AS msat FROM refunds"
        " WHERE account_id = :job_id",
        job_id=job_id,
    )
    paid_back = await tx.one(
        "SELECT CAST(COALESCE(SUM(-amount_msat), 0) AS BIGINT) AS msat FROM entries"
        " WHERE transfer_id LIKE 'paid:%' AND account_id = :job_id",
        job_id=job_id,
    )
    assert earned is not None
    assert owed is not None
    assert paid_back is not None
    return earned["msat"], owed["msat"], paid_back["msat"]


def _earned_by(job: Row, paid_for_evaluation: int) -> int:
    fee = int(job["eval_fee_msat"])
    match job["state"], job["error_code"]:
        case "complete", _:
            return fee + int(job["price_sats"]) * 1000
        case ("rejected", _) | (_, "quote_expired"):
            return fee
        case _, "cancelled":
            return fee if job["eval_calls"] and paid_for_evaluation else 0
        case _:
            return 0


async def _edges(tx: Tx) -> list[str]:
    """Every job went only along the edges that there are."""
    allowed = {(start, end) for (start, _), end in EDGES.items()}
    faults = []
    last: tuple[str, str] = ("", "")
    for row in await tx.all("SELECT job_id, body FROM job_versions ORDER BY job_id, version"):
        state = orjson.loads(row["body"])["state"]
        job_id, before = last
        if job_id == row["job_id"] and before != state and (before, state) not in allowed:
            faults.append(f"an edge that there is not, {before} to {state}: {job_id}")
        last = (row["job_id"], state)
    return faults
