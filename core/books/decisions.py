"""Decisions: what the operator may do to money that is owed back, each with a reason.

Nothing here sends money. A payout is given up only where the wallet has no record of it and its
invoice can no longer be paid; whoever calls has asked the wallet.
"""

from dataclasses import dataclass, replace

from core.books import actions, ledger, payouts, refund_orders, refunds
from core.books.ledger import Leg, Transfer
from core.books.payouts import PAYOUTS, Payout
from core.books.refunds import Refund
from core.store.port import Tx
from core.values.errors import NotFound, WrongState
from core.values.money import Msat
from core.values.terms import FeeRule

PAGE_ROWS = 500


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A refund that has not ended, and its payout where one is under way."""

    refund: Refund
    payout: Payout | None


async def unsettled(tx: Tx) -> list[Unsettled]:
    """All that is owed back or on its way, oldest first; at most `PAGE_ROWS`."""
    return [await _with_payout(tx, refund) for refund in await refunds.unsettled(tx, PAGE_ROWS)]


async def find(tx: Tx, refund_id: str) -> Unsettled:
    """A refund and its payout under way. Raises NotFound."""
    return await _with_payout(tx, await refunds.get(tx, refund_id))


async def _with_payout(tx: Tx, refund: Refund) -> Unsettled:
    row = await tx.one(
        "SELECT * FROM payouts WHERE refund_id = :refund_id AND state IN ('ready', 'begun')",
        refund_id=refund.refund_id,
    )
    return Unsettled(refund, None if row is None else payouts.payout_of(row))


async def look_now(tx: Tx, refund_id: str, reason: str, now_ms: int) -> str:
    """Have the payer try or look at once; return what will happen. Raises WrongState, NotFound."""
    found = await find(tx, refund_id)
    if found.payout is not None:
        await tx.run(
            "UPDATE payouts SET look_at_ms = :now_ms WHERE payment_hash = :payment_hash",
            now_ms=now_ms,
            payment_hash=found.payout.payment_hash,
        )
        tx.announce(PAYOUTS)
    elif found.refund.state != "due":
        raise WrongState(f"The refund is {found.refund.state}; nothing is to be tried.")
    elif not await refund_orders.wake(tx, found.refund.account_id, now_ms):
        raise WrongState("It is due, and the customer has not said where to.")
    await actions.note(tx, "retry", subject=refund_id, reason=reason, now_ms=now_ms)
    return "tried again now" if found.payout is None else "looked at now"


async def give_up(tx: Tx, payout: Payout, rule: FeeRule, reason: str, now_ms: int) -> None:
    """Take back a payout that never was: its money is due, or on the balance, again."""
    await payouts.doubtful(tx, payout, failed_at_ms=now_ms, look_at_ms=now_ms, now_ms=now_ms)
    doubtful = replace(payout, failed_at_ms=now_ms)
    if not await payouts.failed(tx, doubtful, rule, now_ms):
        raise WrongState("The payout has ended meanwhile.")
    await actions.note(tx, "give up", subject=payout.refund_id, reason=reason, now_ms=now_ms)


async def give(
    tx: Tx, session_id: str, amount: Msat, *, ref: str, reason: str, now_ms: int
) -> None:
    """Give a session something out of our revenue, once for each `ref`."""
    await ledger.transfer(
        tx,
        Transfer(f"give:{ref}", "transfer", ref, now_ms, reason),
        [Leg(session_id, amount), Leg(ledger.REVENUE, Msat(-amount))],
    )
    await actions.note(tx, "give", subject=session_id, reason=reason, now_ms=now_ms)


async def credit(tx: Tx, refund_id: str, session_id: str, reason: str, now_ms: int) -> Msat:
    """Give what is due to the balance of a session. Raises NotFound, WrongState."""
    due = await refunds.get(tx, refund_id)
    if due.state != "due":
        raise WrongState(f"The refund is {due.state}; only what is due can be credited.")
    try:
        total = await refunds.give_to_session(tx, due, session_id, reason=reason, now_ms=now_ms)
    except NotFound:
        raise NotFound("There is no such session.") from None
    await payouts.tell(tx, due.account_id, now_ms)
    await actions.note(tx, "credit", subject=refund_id, reason=reason, now_ms=now_ms)
    return total
