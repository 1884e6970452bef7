"""Refunds: what is owed back, from the moment it is owed.

A `due` row of an account grows with new debts. A debt that is our own fault is paid out whole, the
house pays its routing fee (`house_msat`); any other pays its own (`own_msat`): what arrives is then
whole satoshi of the debt less the fee cap.
"""

from dataclasses import dataclass
from typing import Literal

from core.books import ledger, refund_orders, sessions
from core.books.ledger import Leg, Transfer
from core.store.port import Row, Tx
from core.values.claims import new_claim_id
from core.values.errors import NotFound, WrongState
from core.values.ids import is_id, new_id
from core.values.money import MSAT_PER_SAT, NOTHING, Msat, payout_sats
from core.values.terms import FeeRule

RefundState = Literal["due", "sending", "paid", "unknown", "credited"]

_COLUMNS = (
    "refund_id, account_id, state, house_msat, own_msat, amount_msat, fee_msat, destination,"
    " claim_id, created_at_ms, updated_at_ms"
)


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
    """One refund. `amount` is what arrives; `fee` the reserve, later the real fee.

    `claim_id` is what a wallet claims it by while it is due; used once, and new when it is due
    again.
    """

    refund_id: str
    account_id: str
    state: RefundState
    debt: Debt
    amount: Msat
    fee: Msat
    destination: str | None
    created_at_ms: int
    updated_at_ms: int
    claim_id: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is on its way, so that nothing else may be offered its job's money."""
        return self.state in {"sending", "unknown"}


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
        " fee_msat, claim_id, created_at_ms, updated_at_ms) VALUES (:refund_id, :account_id,"
        " 'due', :house, :own, :amount, :fee, :claim_id, :now_ms, :now_ms)"
        " ON CONFLICT (account_id) WHERE state = 'due' DO UPDATE SET house_msat = :house,"
        " own_msat = :own, amount_msat = :amount, fee_msat = :fee, updated_at_ms = :now_ms,"
        " claim_id = COALESCE(refunds.claim_id, :claim_id)",
        refund_id=new_id("rfd"),
        account_id=account_id,
        house=grown.house,
        own=grown.own,
        amount=amount,
        fee=fee,
        claim_id=new_claim_id(),
        now_ms=now_ms,
    )
    await refund_orders.wake(tx, account_id, now_ms)


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


async def give_to_session(
    tx: Tx, due: Refund, session_id: str, *, reason: str = "", now_ms: int
) -> Msat:
    """Give a debt whole to the balance of a session; return how much it was.

    Raises NotFound where there is no such session, WrongState where it is no longer due as seen.
    """
    await sessions.state(tx, session_id)
    own_id, total = await sessions.survivor(tx, session_id), due.debt.total
    if not await turn(tx, due, "credited", destination=session_id, fee=NOTHING, now_ms=now_ms):
        raise WrongState("The refund is no longer due.")
    await ledger.transfer(
        tx,
        Transfer(f"credit:{due.refund_id}", "refund", due.refund_id, now_ms, reason),
        [Leg(due.account_id, Msat(-total)), Leg(own_id, total)],
    )
    await sessions.credited(tx, own_id)
    return total


async def turn_paid(
    tx: Tx, due: Refund, refund_id: str, *, amount: Msat, fee: Msat, now_ms: int
) -> None:
    """What is due was paid, under another id maybe, which stands for it from now on."""
    await tx.run(
        "UPDATE refunds SET state = 'paid', house_msat = 0, own_msat = 0, claim_id = NULL,"
        " amount_msat = :amount, fee_msat = :fee, updated_at_ms = :now_ms"
        " WHERE refund_id = :refund_id",
        refund_id=due.refund_id,
        amount=amount,
        fee=fee,
        now_ms=now_ms,
    )
    if refund_id != due.refund_id:
        await _join(tx, refund_id, due.refund_id)


async def add_paid(
    tx: Tx,
    refund_id: str,
    account_id: str,
    *,
    amount: Msat,
    fee: Msat,
    destination: str,
    now_ms: int,
) -> None:
    """Note a refund that was paid before these books knew of it, or after it had failed."""
    await tx.run(
        "INSERT INTO refunds (refund_id, account_id, state, house_msat, own_msat, amount_msat,"
        " fee_msat, destination, created_at_ms, updated_at_ms) VALUES (:refund_id, :account_id,"
        " 'paid', 0, 0, :amount, :fee, :destination, :now_ms, :now_ms)"
        " ON CONFLICT (refund_id) DO UPDATE SET state = 'paid', fee_msat = :fee,"
        " updated_at_ms = :now_ms",
        refund_id=refund_id,
        account_id=account_id,
        amount=amount,
        fee=fee,
        destination=destination,
        now_ms=now_ms,
    )


async def get(tx: Tx, refund_id: str) -> Refund:
    """One refund. Raises NotFound, for a malformed id too."""
    row = None
    if is_id("rfd", refund_id):
        row = await tx.one(
            f"SELECT {_COLUMNS} FROM refunds WHERE refund_id = COALESCE((SELECT into_id"
            " FROM joined_refunds WHERE refund_id = :refund_id), :refund_id)",
            refund_id=refund_id,
        )
    if row is None:
        raise NotFound
    return _refund(row)


async def claimed(tx: Tx, claim_id: str) -> Refund | None:
    """The refund that is due and can be claimed by this id."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM refunds WHERE claim_id = :claim_id", claim_id=claim_id
    )
    return None if row is None else _refund(row)


async def withdraw(
    tx: Tx, session_id: str, *, amount: Msat, fee: Msat, destination: str, now_ms: int
) -> str:
    """Note a withdrawal that is on its way; return its id."""
    refund_id = new_id("rfd")
    await tx.run(
        "INSERT INTO refunds (refund_id, account_id, state, house_msat, own_msat, amount_msat,"
        " fee_msat, destination, created_at_ms, updated_at_ms) VALUES (:refund_id, :account_id,"
        " 'sending', 0, 0, :amount, :fee, :destination, :now_ms, :now_ms)",
        refund_id=refund_id,
        account_id=session_id,
        amount=amount,
        fee=fee,
        destination=destination,
        now_ms=now_ms,
    )
    return refund_id


async def turn(
    tx: Tx, refund: Refund, state: RefundState, *, destination: str | None, fee: Msat, now_ms: int
) -> bool:
    """Move a refund on from the state it was seen in; False where it is no longer as it was seen.

    A debt that grew meanwhile is another one. What is no longer owed is no debt any more. Where it
    was due it has left that state, and can be claimed no more.
    """
    assert state != "due", "a refund becomes due by `due_again`"
    is_owed = state in {"sending", "unknown"}
    return (
        await tx.run(
            "UPDATE refunds SET state = :to, destination = :destination, fee_msat = :fee,"
            " house_msat = :house, own_msat = :own, claim_id = NULL, updated_at_ms = :now_ms"
            " WHERE refund_id = :refund_id AND state = :state"
            " AND house_msat = :seen_house AND own_msat = :seen_own",
            refund_id=refund.refund_id,
            state=refund.state,
            seen_house=refund.debt.house,
            seen_own=refund.debt.own,
            to=state,
            destination=destination,
            fee=fee,
            house=refund.debt.house if is_owed else 0,
            own=refund.debt.own if is_owed else 0,
            now_ms=now_ms,
        )
        == 1
    )


async def due_again(tx: Tx, refund: Refund, rule: FeeRule, now_ms: int) -> None:
    """Make a refund due that could not be sent, together with what has become due meanwhile.

    The younger debt joins this one, and its id stands for this one from now on.
    """
    row = await tx.one(
        "DELETE FROM refunds WHERE account_id = :account_id AND state = 'due'"
        " RETURNING refund_id, house_msat, own_msat",
        account_id=refund.account_id,
    )
    house, own = (0, 0) if row is None else (row["house_msat"], row["own_msat"])
    if row is not None:
        await _join(tx, row["refund_id"], refund.refund_id)
    debt = Debt(Msat(refund.debt.house + house), Msat(refund.debt.own + own))
    amount, fee = _split(debt, rule)
    await tx.run(
        "UPDATE refunds SET state = 'due', destination = NULL, house_msat = :house,"
        " own_msat = :own, amount_msat = :amount, fee_msat = :fee, claim_id = :claim_id,"
        " updated_at_ms = :now_ms WHERE refund_id = :refund_id",
        refund_id=refund.refund_id,
        house=debt.house,
        own=debt.own,
        amount=amount,
        fee=fee,
        claim_id=new_claim_id(),
        now_ms=now_ms,
    )
    await refund_orders.wake_later(tx, refund.account_id, now_ms)


async def _join(tx: Tx, refund_id: str, into_id: str) -> None:
    await tx.run(
        "UPDATE joined_refunds SET into_id = :into_id WHERE into_id = :refund_id",
        refund_id=refund_id,
        into_id=into_id,
    )
    await tx.run(
        "INSERT INTO joined_refunds (refund_id, into_id) VALUES (:refund_id, :into_id)"
        " ON CONFLICT (refund_id) DO NOTHING",
        refund_id=refund_id,
        into_id=into_id,
    )


async def of_account(tx: Tx, account_id: str) -> list[Refund]:
    """All refunds of a job or session, oldest first."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM refunds WHERE account_id = :account_id"
        " ORDER BY created_at_ms, refund_id",
        account_id=account_id,
    )
    return [_refund(row) for row in rows]


async def page(
    tx: Tx, account_id: str, *, before: tuple[int, str] | None, limit: int
) -> list[Refund]:
    """An account's refunds, newest first, from below this creation time and id on."""
    before_ms, before_id = before or (2**62, "")
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM refunds WHERE account_id = :account_id"
        " AND (created_at_ms < :before_ms"
        " OR (created_at_ms = :before_ms AND refund_id < :before_id))"
        " ORDER BY created_at_ms DESC, refund_id DESC LIMIT :limit",
        account_id=account_id,
        before_ms=before_ms,
        before_id=before_id,
        limit=limit,
    )
    return [_refund(row) for row in rows]


async def unsettled(tx: Tx, limit: int) -> list[Refund]:
    """Refunds that are owed or on their way, of all accounts, oldest first."""
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM refunds WHERE state IN ('due', 'sending', 'unknown')"
        " ORDER BY created_at_ms, refund_id LIMIT :limit",
        limit=limit,
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
        claim_id=row["claim_id"],
    )
