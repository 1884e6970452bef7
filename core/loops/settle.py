"""The settler: hears of payments from the wallet and credits each of them once."""

import structlog

from core.books import invoices, settlement
from core.books.settlement import Payment
from core.store.port import Store, Tx
from core.values.clock import Clock
from core.values.terms import JobTerms
from core.wallets.port import LookUp, Paid, Wallet

log = structlog.get_logger(__name__)


class Settler:
    """Books what the wallet shows as settled."""

    def __init__(self, store: Store, wallet: Wallet, clock: Clock, terms: JobTerms) -> None:
        self._store = store
        self._wallet = wallet
        self._clock = clock
        self._terms = terms

    async def run(self) -> None:
        """Book every settlement that the wallet tells of, for ever."""
        async for heard in self._wallet.settlements():
            if heard is not None:
                await self.book(Payment(heard.payment_hash, heard.amount))

    async def book(self, payment: Payment) -> None:
        """Credit a payment, once; one that is not for an invoice of ours is left alone."""
        if not await self._store.read(_is_news, payment.payment_hash):
            return
        now_ms = self._clock.now_ms()
        if await self._store.write(settlement.settle, payment, self._terms, now_ms):
            log.info("payment settled", hash=payment.payment_hash, amount_msat=payment.amount)

    async def ask(self, payment_hash: str) -> LookUp:
        """Ask the wallet about one invoice now, and book what it proves."""
        answer = await self._wallet.look_up(payment_hash)
        if isinstance(answer, Paid):
            await self.book(Payment(payment_hash, answer.amount))
        return answer


async def _is_news(tx: Tx, payment_hash: str) -> bool:
    invoice = await invoices.get(tx, payment_hash)
    return invoice is not None and invoice.state != "paid"
