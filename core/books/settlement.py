"""Settlement: a payment that the wallet shows is credited once, whatever it was for."""

from dataclasses import dataclass

from core.books import inbox, invoices, ledger, lifecycle, sessions
from core.books.inbox import Event
from core.books.ledger import WALLET, Kind, Leg, Transfer
from core.store.port import Tx
from core.values.ids import is_id
from core.values.money import Msat
from core.values.terms import JobTerms


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment that the wallet shows as settled."""

    payment_hash: str
    amount: Msat


async def settle(tx: Tx, payment: Payment, terms: JobTerms, now_ms: int) -> bool:
    """Credit a payment to the job or session of its invoice; False where it was credited before.

    A payment of an invoice that is not ours is False, too.
    """
    invoice = await invoices.mark_paid(tx, payment.payment_hash, now_ms)
    if invoice is None:
        return False
    kind: Kind = "topup" if invoice.purpose == "topup" else "deposit"
    await ledger.transfer(
        tx,
        Transfer(f"settle:{payment.payment_hash}", kind, payment.payment_hash, now_ms),
        [Leg(invoice.account_id, payment.amount), Leg(WALLET, Msat(-payment.amount))],
    )
    if is_id("ses", invoice.account_id):
        await sessions.credited(tx, invoice.account_id)
        event = Event("paid", payment.payment_hash, amount_msat=payment.amount)
        await inbox.tell(
            tx, invoice.account_id, event, key=f"paid:{payment.payment_hash}", now_ms=now_ms
        )
    else:
        await lifecycle.paid(tx, invoice, payment.amount, terms, now_ms)
    return True
