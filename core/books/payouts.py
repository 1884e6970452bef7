"""Payouts: money on its way out, one invoice at a time.

The intent is committed before the wallet is called (`begun`), and what was begun stays on its way
until the wallet proves how it ended: nothing else is ever offered the same money meanwhile. A job's
money stays on the job's account until it has left; a session's waits in suspense.
"""

import secrets
from dataclasses import dataclass
from typing import Literal

from core.books import freezes, inbox, invoices, jobs, ledger, processes, refund_orders, refunds
from core.books.inbox import Event
from core.books.ledger import FEES, SUSPENSE, WALLET, Leg, Transfer
from core.books.refunds import Debt, Refund
from core.store.port import Row, Tx
from core.values.destinations import Target
from core.values.errors import InvalidRequest, WrongState
from core.values.ids import is_id
from core.values.money import NOTHING, Msat
from core.values.terms import FeeRule

PAYOUTS = "payouts"  # topic: a payout is ready
DAY_MS = 86_400_000
_IS_LIVE = " WHERE state IN ('ready', 'begun')"

PayoutState = Literal["ready", "begun", "paid", "failed", "not_sent"]
Beginning = Literal["begun", "not ready", "too much for the house"]


@dataclass(frozen=True, slots=True)
class Payout:
    """One payout. The own fee is paid from the debt or the balance, the house fee by the house.

    `owner` is the process that has begun it; `failed_at_ms` is since when the wallet shows it as
    failed.
    """

    payment_hash: str
    refund_id: str
    account_id: str
    bolt11: str
    invoice_expires_at_ms: int
    amount: Msat
    own_fee: Msat
    house_fee: Msat
    state: PayoutState
    owner: str | None = None
    begun_at_ms: int | None = None
    failed_at_ms: int | None = None

    @property
    def fee_max(self) -> Msat:
        """The most that routing may cost."""
        return Msat(self.own_fee + self.house_fee)


async def start_refund(tx: Tx, refund: Refund, target: Target, rule: FeeRule, now_ms: int) -> None:
    """Send a job's due refund to this invoice. Raises WrongState, InvalidRequest."""
    if refund.state != "due":
        raise WrongState("The refund is not due.")
    if any(other.is_live for other in await refunds.of_account(tx, refund.account_id)):
        raise WrongState("A refund of this job is on its way to another destination.")
    if target.amount != refund.amount:
        raise InvalidRequest("The invoice is not over the amount that is due.", pointer="/to")
    house_fee = rule.cap(refund.debt.house) if refund.debt.house else NOTHING
    reserve = Msat(refund.fee + house_fee)
    turned = await refunds.turn(
        tx, refund, "sending", destination=target.destination, fee=reserve, now_ms=now_ms
    )
    if not turned:
        raise WrongState("What is due has changed.")
    payout = _ready(target, refund.refund_id, refund.account_id, refund.fee, house_fee)
    await _add(tx, payout, now_ms)


async def start_withdrawal(tx: Tx, session_id: str, target: Target, fee: Msat, now_ms: int) -> str:
    """Send a session's free money to this invoice; return the refund's id.

    Amount and fee cap leave the balance now. Raises `ledger.NotEnough`.
    """
    refund_id = await refunds.withdraw(
        tx,
        session_id,
        amount=target.amount,
        fee=fee,
        destination=target.destination,
        now_ms=now_ms,
    )
    await ledger.transfer(
        tx,
        Transfer(f"withdraw:{refund_id}", "withdrawal", refund_id, now_ms),
        [Leg(session_id, Msat(-target.amount)), Leg(SUSPENSE, target.amount)],
    )
    if fee:
        await ledger.transfer(
            tx,
            Transfer(f"fee:{refund_id}", "fee", refund_id, now_ms),
            [Leg(session_id, Msat(-fee)), Leg(SUSPENSE, fee)],
        )
    await _add(tx, _ready(target, refund_id, session_id, fee, NOTHING), now_ms)
    return refund_id


async def begin(
    tx: Tx, payout: Payout, *, owner: str, house_fee_per_day: Msat, now_ms: int
) -> Beginning:
    """Commit the intent to pay, unless another process did or the house's fees are used up.

    From here on only the wallet can say how it ends.
    """
    spent = await _house_fees_since(tx, now_ms - DAY_MS)
    if payout.house_fee and spent + payout.house_fee > house_fee_per_day:
        return "too much for the house"
    begun = await tx.run(
        "UPDATE payouts SET state = 'begun', owner = :owner, begun_at_ms = :now_ms"
        " WHERE payment_hash = :payment_hash AND state = 'ready'",
        payment_hash=payout.payment_hash,
        owner=owner,
        now_ms=now_ms,
    )
    return "begun" if begun else "not ready"


async def not_begun(tx: Tx, payout: Payout, *, owner: str, look_at_ms: int) -> None:
    """Make a payout ready again, since the wallet has proven that this owner's one call is void."""
    await tx.run(
        "UPDATE payouts SET state = 'ready', owner = NULL, begun_at_ms = NULL,"
        " look_at_ms = :look_at_ms"
        " WHERE payment_hash = :payment_hash AND state = 'begun' AND owner = :owner",
        payment_hash=payout.payment_hash,
        owner=owner,
        look_at_ms=look_at_ms,
    )


async def take_over(tx: Tx, payout: Payout, owner: str, now_ms: int) -> bool:
    """Become the owner of what a dead process had begun; False where it lives, or another did."""
    if payout.owner in await processes.others_alive(tx, owner, now_ms):
        return False
    return (
        await tx.run(
            "UPDATE payouts SET owner = :owner"
            " WHERE payment_hash = :payment_hash AND state = 'begun'"
            " AND COALESCE(owner, '') = :dead_owner",
            payment_hash=payout.payment_hash,
            owner=owner,
            dead_owner=payout.owner or "",
        )
        == 1
    )


async def arrived(tx: Tx, payout: Payout, fee: Msat, rule: FeeRule, now_ms: int) -> bool:
    """Book a payout that the wallet shows as settled; False where it has ended before."""
    if not await _end(tx, payout, "paid", "state IN ('ready', 'begun')"):
        return False
    refund = await refunds.get(tx, payout.refund_id)
    own_fee = Msat(min(fee, payout.own_fee))
    house_fee = Msat(fee - own_fee)
    await refunds.turn(tx, refund, "paid", destination=refund.destination, fee=fee, now_ms=now_ms)
    await tx.run(  # what routing has really cost the house counts against its day
        "UPDATE payouts SET house_fee_msat = :fee WHERE payment_hash = :payment_hash",
        payment_hash=payout.payment_hash,
        fee=house_fee,
    )
    payer = payout.account_id if _is_job(payout) else SUSPENSE
    legs = [Leg(payer, Msat(-payout.amount - own_fee)), Leg(WALLET, Msat(payout.amount + fee))]
    if house_fee:
        legs.append(Leg(FEES, Msat(-house_fee)))
    await ledger.transfer(
        tx, Transfer(f"paid:{payout.payment_hash}", "withdrawal", payout.refund_id, now_ms), legs
    )
    unused = Msat(payout.own_fee - own_fee)
    if _is_job(payout):
        await refunds.owe(tx, payout.account_id, Debt(own=unused), rule, now_ms)
        await refund_orders.wake(tx, payout.account_id, now_ms)  # for what waited behind this one
    elif unused:
        await _return(tx, payout, unused, "unused", now_ms)
    await tell(tx, payout.account_id, now_ms)
    return True


async def not_sent(tx: Tx, payout: Payout, rule: FeeRule, now_ms: int) -> bool:
    """Take back a payout that was not begun: the money is due, or credited, again."""
    if not await _end(tx, payout, "not_sent", "state = 'ready'"):
        return False
    await _take_back(tx, payout, rule, now_ms)
    return True


async def failed(tx: Tx, payout: Payout, rule: FeeRule, now_ms: int) -> bool:
    """Take back a payout that failed for good: no look since its `failed_at_ms` said otherwise."""
    assert payout.failed_at_ms is not None, "a payout fails for good at its second look"
    agrees = "state = 'begun' AND failed_at_ms = :failed_at_ms"
    if not await _end(tx, payout, "failed", agrees, failed_at_ms=payout.failed_at_ms):
        return False
    await _take_back(tx, payout, rule, now_ms)
    return True


async def doubtful(
    tx: Tx, payout: Payout, *, failed_at_ms: int | None, look_at_ms: int, now_ms: int
) -> bool:
    """Note that it is not known how a payout ends; return whether that is news to the customer.

    It is looked at again. `failed_at_ms` is since when the wallet has shown it as failed.
    """
    noted = await tx.run(
        "UPDATE payouts SET failed_at_ms = :failed_at_ms, look_at_ms = :look_at_ms"
        " WHERE payment_hash = :payment_hash AND state = 'begun'",
        payment_hash=payout.payment_hash,
        failed_at_ms=failed_at_ms,
        look_at_ms=look_at_ms,
    )
    refund = await refunds.get(tx, payout.refund_id)
    if not noted or refund.state != "sending":
        return False
    await refunds.turn(
        tx, refund, "unknown", destination=refund.destination, fee=refund.fee, now_ms=now_ms
    )
    await tell(tx, payout.account_id, now_ms)
    return True


async def look_later(tx: Tx, payout: Payout, at_ms: int) -> None:
    """Try a payout that is ready again at this time."""
    await tx.run(
        "UPDATE payouts SET look_at_ms = :at_ms"
        " WHERE payment_hash = :payment_hash AND state = 'ready'",
        payment_hash=payout.payment_hash,
        at_ms=at_ms,
    )


async def take_due(tx: Tx, *, now_ms: int, until_ms: int, limit: int) -> list[Payout]:
    """Payouts to be sent or looked at now; nobody else takes them before `until_ms`."""
    rows = await tx.all(
        "UPDATE payouts SET look_at_ms = :until_ms WHERE payment_hash IN (SELECT payment_hash"
        " FROM payouts WHERE state IN ('ready', 'begun') AND look_at_ms <= :now_ms"
        " ORDER BY look_at_ms LIMIT :limit /*pg FOR UPDATE SKIP LOCKED */) RETURNING *",
        now_ms=now_ms,
        until_ms=until_ms,
        limit=limit,
    )
    return [payout_of(row) for row in rows]


async def give_up_takes(tx: Tx, now_ms: int) -> None:
    """Let everything be looked at now: whoever had taken it is dead."""
    await tx.run("UPDATE payouts SET look_at_ms = :now_ms" + _IS_LIVE, now_ms=now_ms)


async def next_look_ms(tx: Tx) -> int | None:
    """When the next payout is to be sent or looked at."""
    row = await tx.one("SELECT look_at_ms FROM payouts" + _IS_LIVE + " ORDER BY look_at_ms LIMIT 1")
    return None if row is None else int(row["look_at_ms"])


async def is_known(tx: Tx, payment_hash: str) -> bool:
    """Whether this invoice was ever offered for a payout, or is one of our own."""
    row = await tx.one(
        "SELECT 1 AS one FROM payouts WHERE payment_hash = :payment_hash",
        payment_hash=payment_hash,
    )
    return row is not None or await invoices.get(tx, payment_hash) is not None


async def note_paid(tx: Tx, payout: Payout, now_ms: int) -> None:
    """Remember a payout that the wallet made though these books did not know it, or gave it up."""
    if not await _end(tx, payout, "paid", "state IN ('failed', 'not_sent')"):
        await _insert(tx, payout, now_ms)


def _ready(
    target: Target, refund_id: str, account_id: str, own_fee: Msat, house_fee: Msat
) -> Payout:
    return Payout(
        payment_hash=target.payment_hash,
        refund_id=refund_id,
        account_id=account_id,
        bolt11=target.bolt11,
        invoice_expires_at_ms=target.expires_at_ms,
        amount=target.amount,
        own_fee=own_fee,
        house_fee=house_fee,
        state="ready",
    )


async def _add(tx: Tx, payout: Payout, now_ms: int) -> None:
    await freezes.check(tx, payout.account_id)
    if await is_known(tx, payout.payment_hash):
        raise InvalidRequest("This invoice was used before, or is one of ours.", pointer="/to")
    await _insert(tx, payout, now_ms)
    await tell(tx, payout.account_id, now_ms)
    tx.announce(PAYOUTS)


async def _insert(tx: Tx, payout: Payout, look_at_ms: int) -> None:
    await tx.run(
        "INSERT INTO payouts (payment_hash, refund_id, account_id, bolt11, invoice_expires_at_ms,"
        " amount_msat, own_fee_msat, house_fee_msat, state, look_at_ms) VALUES (:payment_hash,"
        " :refund_id, :account_id, :bolt11, :expires_at_ms, :amount, :own_fee, :house_fee,"
        " :state, :look_at_ms)",
        payment_hash=payout.payment_hash,
        refund_id=payout.refund_id,
        account_id=payout.account_id,
        bolt11=payout.bolt11,
        expires_at_ms=payout.invoice_expires_at_ms,
        amount=payout.amount,
        own_fee=payout.own_fee,
        house_fee=payout.house_fee,
        state=payout.state,
        look_at_ms=look_at_ms,
    )


async def tell(tx: Tx, account_id: str, now_ms: int) -> None:
    """Let the customer see the change."""
    if is_id("job", account_id):
        await jobs.new_version(tx, account_id, now_ms)
        return
    tx.announce(account_id)
    key = f"payout:{secrets.token_hex(8)}"  # every change is told
    await inbox.tell(tx, account_id, Event("refund", account_id), key=key, now_ms=now_ms)


async def _end(tx: Tx, payout: Payout, state: PayoutState, condition: str, **values: int) -> bool:
    """End a payout in this state, if it is as `condition`, a condition of SQL, says."""
    return (
        await tx.run(
            f"UPDATE payouts SET state = :to WHERE payment_hash = :payment_hash AND {condition}",
            payment_hash=payout.payment_hash,
            to=state,
            **values,
        )
        == 1
    )


async def _take_back(tx: Tx, payout: Payout, rule: FeeRule, now_ms: int) -> None:
    refund = await refunds.get(tx, payout.refund_id)
    if _is_job(payout):
        await refunds.due_again(tx, refund, rule, now_ms)
    else:
        await refunds.turn(
            tx,
            refund,
            "credited",
            destination=refund.destination,
            fee=NOTHING,
            now_ms=now_ms,
        )
        await _return(tx, payout, Msat(payout.amount + payout.own_fee), "failed", now_ms)
    await tell(tx, payout.account_id, now_ms)


async def _return(tx: Tx, payout: Payout, amount: Msat, why: str, now_ms: int) -> None:
    """Give a session back what was set aside for its withdrawal."""
    await ledger.transfer(
        tx,
        Transfer(f"{why}:{payout.refund_id}", "refund", payout.refund_id, now_ms),
        [Leg(payout.account_id, amount), Leg(SUSPENSE, Msat(-amount))],
    )


async def _house_fees_since(tx: Tx, since_ms: int) -> int:
    row = await tx.one(
        "SELECT CAST(COALESCE(SUM(house_fee_msat), 0) AS BIGINT) AS total FROM payouts"
        " WHERE house_fee_msat > 0 AND begun_at_ms > :since_ms",
        since_ms=since_ms,
    )
    assert row is not None
    return int(row["total"])


def _is_job(payout: Payout) -> bool:
    return is_id("job", payout.account_id)


def payout_of(row: Row) -> Payout:
    """The payout that a row is."""
    return Payout(
        payment_hash=row["payment_hash"],
        refund_id=row["refund_id"],
        account_id=row["account_id"],
        bolt11=row["bolt11"],
        invoice_expires_at_ms=row["invoice_expires_at_ms"],
        amount=Msat(row["amount_msat"]),
        own_fee=Msat(row["own_fee_msat"]),
        house_fee=Msat(row["house_fee_msat"]),
        state=row["state"],
        owner=row["owner"],
        begun_at_ms=row["begun_at_ms"],
        failed_at_ms=row["failed_at_ms"],
    )
