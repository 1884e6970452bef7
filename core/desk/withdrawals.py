"""What could be paid out to a destination, looked at before anybody says yes to it.

Nothing is written and nobody outside is asked; the withdrawal itself checks everything again.
"""

from dataclasses import dataclass
from typing import Literal

from core.books import invoices
from core.desk.payout_desk import PayoutDesk, largest_payout
from core.values.destinations import EXPIRY_MARGIN_S, ToAddress, ToInvoice, ToSession, parse
from core.values.errors import InvalidRequest
from core.values.money import MSAT_PER_SAT, Msat, from_sats

Why = Literal["too_high", "no_amount", "ran_out", "other_network", "own", "not_understood"]


@dataclass(frozen=True, slots=True)
class Able:
    """This can be paid out there. `names_amount` says that the destination fixes it."""

    to: str
    amount: Msat
    names_amount: bool


@dataclass(frozen=True, slots=True)
class Cannot:
    """Nothing can be paid out there."""

    why: Why


async def look(desk: PayoutDesk, to: str, *, free: Msat) -> Able | Cannot:
    """What of `free` could be paid out to this destination."""
    try:
        destination = parse(to, insecure_hosts=desk.insecure_hosts)
    except InvalidRequest:
        return Cannot("not_understood")
    match destination:
        case ToSession():
            return Cannot("not_understood")
        case ToAddress(text=text):
            return Able(text, most(desk, free), names_amount=False)
        case ToInvoice():
            return await _look_at_invoice(desk, destination, free)


def most(desk: PayoutDesk, free: Msat) -> Msat:
    """The most that can be taken out of `free`, with the routing fee's cap left over."""
    return largest_payout(free, desk.terms.fee_rule)


def is_too_small(desk: PayoutDesk, amount: Msat) -> bool:
    """Whether so little is not sent."""
    return amount < from_sats(desk.terms.min_sats)


async def _look_at_invoice(desk: PayoutDesk, invoice: ToInvoice, free: Msat) -> Able | Cannot:
    read = invoice.bolt11
    if read.network != desk.network:
        return Cannot("other_network")
    if read.amount is None or read.amount % MSAT_PER_SAT:
        return Cannot("no_amount")
    if read.expires_at_ms < desk.clock.now_ms() + EXPIRY_MARGIN_S * 1000:
        return Cannot("ran_out")
    if await desk.store.read(invoices.get, read.payment_hash) is not None:
        return Cannot("own")
    if read.amount + desk.terms.fee_rule.cap(read.amount) > free:
        return Cannot("too_high")
    return Able(invoice.text, read.amount, names_amount=True)
