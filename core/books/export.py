"""Export: all transfers with their legs, page by page, for the operator's own bookkeeping."""

from dataclasses import dataclass

from core.books.ledger import Leg, Transfer
from core.store.port import Tx
from core.values.money import Msat

PAGE_ROWS = 500


@dataclass(frozen=True, slots=True)
class Exported:
    """A transfer as it was booked."""

    what: Transfer
    legs: tuple[Leg, ...]


async def transfers_after(tx: Tx, after: str) -> tuple[list[Exported], str | None]:
    """Some transfers in the order of their ids from after this one on; the last id, if more follow.

    Ids are not in the order of time: what is booked meanwhile may be missing, nothing comes twice.
    """
    rows = await tx.all(
        "SELECT transfer_id, kind, ref, reason, at_ms FROM transfers"
        " WHERE transfer_id > :after ORDER BY transfer_id LIMIT :rows",
        after=after,
        rows=PAGE_ROWS,
    )
    if not rows:
        return [], None
    last = rows[-1]["transfer_id"]
    legs: dict[str, list[Leg]] = {}
    for leg in await tx.all(
        "SELECT transfer_id, account_id, amount_msat FROM entries"
        " WHERE transfer_id > :after AND transfer_id <= :last ORDER BY transfer_id, leg",
        after=after,
        last=last,
    ):
        side = Leg(leg["account_id"], Msat(leg["amount_msat"]))
        legs.setdefault(leg["transfer_id"], []).append(side)
    found = [
        Exported(
            Transfer(row["transfer_id"], row["kind"], row["ref"], row["at_ms"], row["reason"]),
            tuple(legs.get(row["transfer_id"], ())),
        )
        for row in rows
    ]
    return found, last if len(rows) == PAGE_ROWS else None


async def paid_for(tx: Tx, account_id: str, ref: str) -> Msat:
    """What an account has paid for a job, less what came back of it."""
    row = await tx.one(
        "SELECT SUM(e.amount_msat) AS msat FROM entries e JOIN transfers t"
        " ON t.transfer_id = e.transfer_id WHERE e.account_id = :account_id AND t.ref = :ref",
        account_id=account_id,
        ref=ref,
    )
    assert row is not None
    return Msat(-int(row["msat"] or 0))
