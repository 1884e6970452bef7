"""The desk for pay pages: the invoice behind a link, and the moment when it is paid."""

from dataclasses import dataclass

from core.books import invoices
from core.books.invoices import Invoice, Status
from core.store.bulletin import Bulletin
from core.store.port import Store
from core.values.clock import Clock
from core.values.errors import NotFound
from core.values.pay_links import PayLinks


@dataclass(frozen=True, slots=True)
class PayDesk:
    """Shows an invoice to everybody who has its link, and to nobody else."""

    store: Store
    bulletin: Bulletin
    clock: Clock
    links: PayLinks

    async def invoice(self, token: str) -> Invoice:
        """The invoice that the link with this token leads to. Raises NotFound."""
        payment_hash = self.links.hash_of(token)
        if payment_hash is None:
            raise NotFound
        invoice = await self.store.read(invoices.get, payment_hash)
        if invoice is None:
            raise NotFound
        return invoice

    async def wait(self, token: str, *, status: Status, wait_s: float) -> Invoice:
        """The invoice as soon as its status is another, or the time is over. Raises NotFound."""
        ends = self.clock.monotonic() + wait_s
        invoice = await self.invoice(token)
        with self.bulletin.listen(invoice.account_id) as news:
            while True:
                invoice = await self.invoice(token)
                now_ms = self.clock.now_ms()
                left_s = ends - self.clock.monotonic()
                if invoice.status(now_ms) != status or left_s <= 0:
                    return invoice
                if status == "open":  # an expiry is no commit: nobody would wake us
                    left_s = min(left_s, (invoice.expires_at_ms - now_ms) / 1000)
                await news.wait(left_s)
