"""The payer: sends what is owed, and finds out how it ended.

It is the only writer of a payout while it runs. Before the call the intent is committed; after it
only proof moves money: a payment that the wallet shows as settled, or as failed at two looks that
lie apart, after its invoice has expired. Everything else (time-out, error, "not found", pending)
is unknown, and is asked again.
"""

import asyncio
from dataclasses import dataclass
from typing import assert_never

import structlog

from core.books import payouts
from core.books.payouts import Payout
from core.store.bulletin import Bulletin
from core.store.port import Store
from core.values.clock import Clock
from core.values.errors import WalletUnavailable
from core.values.money import Msat
from core.values.terms import RefundTerms
from core.wallets.port import Failed, Outcome, Payer, Sent, Unproven

AT_ONCE = 8
LOOK_S = 5.0  # another process may have made a payout ready without our hearing
TAKEN_MS = 120_000  # a payout that a dead process had taken is taken again after this time
RETRY_MS = 60_000
LOOK_AGAIN_MS = 15_000
APART_MS = 600_000  # two looks at a failed payment lie this far apart
HOLD_MS = 86_400_000  # how long a payee can hold a payment back beyond its invoice's expiry

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PayerLoop:
    """Moves payouts forward."""

    store: Store
    bulletin: Bulletin
    payer: Payer
    clock: Clock
    terms: RefundTerms
    process_id: str

    async def run(self) -> None:
        """Send and look, for ever."""
        with self.bulletin.listen(payouts.PAYOUTS) as news:
            while True:
                now_ms = self.clock.now_ms()
                due_ms = await self.store.read(payouts.next_look_ms)
                if due_ms is not None and due_ms <= now_ms:
                    await self._serve_due(now_ms)
                    continue
                wait_s = LOOK_S if due_ms is None else min(LOOK_S, (due_ms - now_ms) / 1000)
                await news.wait(wait_s)

    async def _serve_due(self, now_ms: int) -> None:
        taken = await self.store.write(
            payouts.take_due, now_ms=now_ms, until_ms=now_ms + TAKEN_MS, limit=AT_ONCE
        )
        async with asyncio.TaskGroup() as group:
            for payout in taken:
                group.create_task(self._serve(payout))

    async def _serve(self, payout: Payout) -> None:
        if payout.state == "begun":
            await self._judge(payout, await self.payer.outcome(payout.payment_hash))
            return
        if not await self._may_send(payout):
            return
        begun = await self.store.write(
            payouts.begin,
            payout,
            owner=self.process_id,
            house_fee_per_day=self.terms.house_fee_per_day,
            now_ms=self.clock.now_ms(),
        )
        if not begun:
            await self._not_sent(payout, "the house's routing fees of a day are used up")
            return
        extra = {"kind": "payout", "refund": payout.refund_id}
        await self._judge(payout, await self.payer.pay(payout.bolt11, extra=extra))

    async def _may_send(self, payout: Payout) -> bool:
        """Whether the wallet can pay this within its fee cap; it has no limit of its own."""
        now_ms = self.clock.now_ms()
        if payout.invoice_expires_at_ms <= now_ms:
            await self._not_sent(payout, "the invoice has expired")
            return False
        try:
            reserve = await self.payer.fee_reserve(payout.bolt11)
            balance = await self.payer.balance()
        except WalletUnavailable as fault:
            log.warning("payout waits for the wallet", refund=payout.refund_id, reason=fault.reason)
            await self.store.write(payouts.look_later, payout, now_ms + LOOK_AGAIN_MS)
            return False
        if reserve > payout.fee_max:
            await self._not_sent(payout, f"the wallet reserves {reserve} msat for routing")
            return False
        if balance < Msat(payout.amount + reserve):
            await self._not_sent(payout, "the wallet does not hold enough")
            return False
        return True

    async def _judge(self, payout: Payout, outcome: Outcome) -> None:
        now_ms = self.clock.now_ms()
        match outcome:
            case Sent(fee):
                rule = self.terms.fee_rule
                if await self.store.write(payouts.arrived, payout, fee, rule, now_ms):
                    log.info("payout arrived", refund=payout.refund_id, amount_msat=payout.amount)
            case Failed(reason):
                await self._saw_failed(payout, reason, now_ms)
            case Unproven(reason):
                log.warning("payout unknown", refund=payout.refund_id, reason=reason)
                await self.store.write(payouts.saw_no_failure, payout)
                await self._look_again(payout, now_ms)
            case _:
                assert_never(outcome)

    async def _saw_failed(self, payout: Payout, reason: str, now_ms: int) -> None:
        """Believe a failure at the second look, apart from the first and after the last chance."""
        seen_ms = payout.failed_at_ms
        last_chance_ms = payout.invoice_expires_at_ms + HOLD_MS
        is_final = seen_ms is not None and now_ms - seen_ms >= APART_MS and now_ms >= last_chance_ms
        if not is_final:
            await self.store.write(payouts.saw_failed, payout, now_ms)
            await self._look_again(payout, now_ms)
        elif await self.store.write(payouts.failed, payout, self.terms.fee_rule, now_ms):
            log.warning("payout failed", refund=payout.refund_id, reason=reason)

    async def _look_again(self, payout: Payout, now_ms: int) -> None:
        await self.store.write(
            payouts.doubtful, payout, look_at_ms=now_ms + LOOK_AGAIN_MS, now_ms=now_ms
        )

    async def _not_sent(self, payout: Payout, reason: str) -> None:
        log.warning("payout not sent", refund=payout.refund_id, reason=reason)
        rule, now_ms = self.terms.fee_rule, self.clock.now_ms()
        await self.store.write(payouts.not_sent, payout, rule, now_ms)
