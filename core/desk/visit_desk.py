"""The desk for a visit at a terminal: what waits for one person, and whether all is answered."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.books import inbox, outbox, people, refunds, requests
from core.store.port import Store, Tx
from core.values.mail import Peer

_PRICED = "awaiting_work_payment"


@dataclass(frozen=True, slots=True)
class VisitDesk:
    """Looks at one person on one channel, whose realm is theirs alone."""

    store: Store
    peer: Peer

    async def lang(self) -> str | None:
        """The person's language; None for somebody new."""
        return await self.store.read(_lang, self.peer)

    async def open_codes(self) -> Sequence[str]:
        """The requests that have not ended, oldest first; none where a letter will tell of them."""
        return await self.store.read(_open_codes, self.peer)

    async def is_at_rest(self, paid: Sequence[str]) -> bool:
        """Whether nothing more comes before the person does something.

        `paid` are the hashes of invoices that were paid just now, of which the books may not know.
        """
        return await self.store.read(_is_at_rest, self.peer, paid)


async def _lang(tx: Tx, peer: Peer) -> str | None:
    contact = await people.contact(tx, peer)
    return None if contact is None else (await people.person(tx, contact.session_id)).lang


async def _open_codes(tx: Tx, peer: Peer) -> Sequence[str]:
    contact = await people.contact(tx, peer)
    if contact is None or await _has_letters(tx, peer):
        return ()
    return [request.code for request in await requests.open_ones(tx, contact.session_id)]


async def _is_at_rest(tx: Tx, peer: Peer, paid: Sequence[str]) -> bool:
    contact = await people.contact(tx, peer)
    if contact is None:
        return True
    bills = [await requests.bill(tx, payment_hash) for payment_hash in paid]
    if any(bill is not None and not bill.is_paid for bill in bills):
        return False
    if await inbox.not_before_ms(tx, contact.session_id) or await _has_letters(tx, peer):
        return False
    open_ones = await requests.open_ones(tx, contact.session_id)
    latest = await refunds.page(tx, contact.session_id, before=None, limit=5)
    is_working = any(one.state == "started" and one.told != _PRICED for one in open_ones)
    return not is_working and not any(refund.state == "sending" for refund in latest)


async def _has_letters(tx: Tx, peer: Peer) -> bool:
    count, _ = await outbox.backlog(tx, peer.channel, peer.realm)
    return count > 0
