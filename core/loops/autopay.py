"""Autopay: sends what is due of a job to the address that the job gave for it.

The address is asked for its invoice first; then one transaction gives the order back and commits
the payout, unless the debt has changed meanwhile. From there on it is the payer's. Whatever fails
leaves the debt due, to be sent elsewhere by its customer or here after a pause.
"""

from dataclasses import dataclass
from functools import partial

import structlog

from core.books import payouts, refund_orders, refunds
from core.books.refund_orders import REFUND_ORDERS, RefundOrder
from core.books.refunds import Refund
from core.loops.due import all_to_their_end, serve_what_is_due
from core.store.bulletin import Bulletin
from core.store.port import Store, Tx
from core.values.clock import Clock
from core.values.destinations import Target, parse_address
from core.values.errors import InvalidRequest, WrongState
from core.values.money import from_sats
from core.values.terms import RefundTerms
from core.wallets.lnurl import Resolver

AT_ONCE = 8
TAKEN_MS = 60_000  # what a dead process had taken is taken again after this time

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AutopayLoop:
    """Starts the refunds of jobs that said where to."""

    store: Store
    bulletin: Bulletin
    resolver: Resolver
    clock: Clock
    terms: RefundTerms
    insecure_hosts: tuple[str, ...]

    async def run(self) -> None:
        """Try what is due, for ever."""
        with self.bulletin.listen(REFUND_ORDERS) as news:
            await serve_what_is_due(
                news,
                self.clock,
                next_ms=partial(self.store.read, refund_orders.next_try_ms),
                serve=self.serve_due,
            )

    async def serve_due(self) -> None:
        """Try some of what is due."""
        now_ms = self.clock.now_ms()
        taken = await self.store.write(
            refund_orders.take_due, now_ms=now_ms, until_ms=now_ms + TAKEN_MS, limit=AT_ONCE
        )
        await all_to_their_end(map(self._serve, taken))

    async def _serve(self, order: RefundOrder) -> None:
        due = await self.store.read(_sendable, order.job_id)
        if due is None or due.amount < from_sats(self.terms.min_sats):
            await self.store.write(refund_orders.rest, order)  # until more becomes due
            return
        try:
            address = parse_address(order.address, insecure_hosts=self.insecure_hosts)
            invoice = await self.resolver.invoice_of(address, due.amount)
            target = Target.of(address.text, invoice, due.amount)
            await self.store.write(self._start, order, due, target)
        except (InvalidRequest, WrongState) as fault:
            log.warning("refund waits for its address", refund=due.refund_id, reason=fault.detail)
            await self.store.write(refund_orders.try_later, order, self.clock.now_ms())

    async def _start(self, tx: Tx, order: RefundOrder, due: Refund, target: Target) -> None:
        """Commit the payout, if the order is still ours and the debt as it was seen."""
        if await refund_orders.rest(tx, order):
            now_ms = self.clock.now_ms()
            await payouts.start_refund(tx, due, target, self.terms.fee_rule, now_ms)


async def _sendable(tx: Tx, job_id: str) -> Refund | None:
    """What is due of a job, unless something else of it is on its way."""
    all_refunds = await refunds.of_account(tx, job_id)
    if any(refund.is_live for refund in all_refunds):
        return None
    return next((refund for refund in all_refunds if refund.state == "due"), None)
