"""The payer: sends what is owed, and finds out how it ended.

Before the wallet is called the intent is committed; after it only proof moves money. Everything
else (time-out, error, "not found", pending) is unknown: nothing else is offered the money, and the
wallet is asked again. Two rules rest on the wallet's promise that it never pays one invoice twice:

- What a dead process had begun, and the wallet has no record of, is offered to the wallet again.
- A payment counts as failed when the wallet has shown it so at two looks that lie apart, long
  after its invoice has expired, and then says so once more when it is told to pay it again: only
  that makes an LNbits ask its node.
"""

from dataclasses import dataclass
from functools import partial
from typing import assert_never

import structlog

from core.books import payouts
from core.books.payouts import Payout
from core.loops.due import all_to_their_end, serve_what_is_due
from core.store.bulletin import Bulletin
from core.store.port import Store
from core.values.clock import Clock
from core.values.errors import WalletUnavailable
from core.values.ids import is_id
from core.values.money import Msat
from core.values.terms import RefundTerms
from core.wallets.port import Failed, Missing, NotBegun, Outcome, Payer, Sent, Unproven

AT_ONCE = 8
TAKEN_MS = 60_000  # what a dead process had taken is taken again after this time
RETRY_MS = 15_000
LOOK_AGAIN_MS = 15_000
LOOK_AGAIN_MS_MAX = 600_000
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
            await serve_what_is_due(
                news,
                self.clock,
                next_ms=partial(self.store.read, payouts.next_look_ms),
                serve=self.serve_due,
            )

    async def serve_due(self) -> None:
        """Send or look at some of what is due."""
        now_ms = self.clock.now_ms()
        taken = await self.store.write(
            payouts.take_due, now_ms=now_ms, until_ms=now_ms + TAKEN_MS, limit=AT_ONCE
        )
        await all_to_their_end(map(self._serve, taken))

    async def _serve(self, payout: Payout) -> None:
        if payout.state == "ready":
            if await self._may_send(payout):
                await self._send(payout)
            return
        outcome = await self.payer.outcome(payout.payment_hash)
        if isinstance(outcome, Missing) and await self._takes_over(payout):
            outcome = _after_earlier_calls(await self._pay(payout))
        await self._judge(payout, outcome)

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
            await self.store.write(payouts.look_later, payout, now_ms + RETRY_MS)
            return False
        if reserve > payout.fee_max:
            await self._not_sent(payout, f"the wallet reserves {reserve} msat for routing")
            return False
        if balance < payout.amount + reserve:
            await self._not_sent(payout, "the wallet does not hold enough")
            return False
        return True

    async def _send(self, payout: Payout) -> None:
        beginning = await self.store.write(
            payouts.begin,
            payout,
            owner=self.process_id,
            house_fee_per_day=self.terms.house_fee_per_day,
            now_ms=self.clock.now_ms(),
        )
        match beginning:
            case "begun":
                outcome = await self._pay(payout)
                if isinstance(outcome, NotBegun):
                    await self._try_again(payout, outcome.reason)
                else:
                    await self._judge(payout, outcome)
            case "too much for the house":
                await self._not_sent(payout, "the house's routing fees of a day are used up")
            case "not ready":  # another process has taken it, since this one was too slow
                return
            case _:
                assert_never(beginning)

    async def _pay(self, payout: Payout) -> Outcome | NotBegun:
        account = "job" if is_id("job", payout.account_id) else "session"
        extra = {"kind": "payout", "refund": payout.refund_id, account: payout.account_id}
        return await self.payer.pay(payout.bolt11, extra=extra)

    async def _judge(self, payout: Payout, outcome: Outcome) -> None:
        match outcome:
            case Sent(fee):
                await self._arrived(payout, fee)
            case Failed(reason) if self._is_last_look(payout):
                await self._give_up(payout, reason)
            case Failed(reason):
                seen_ms = payout.failed_at_ms
                since_ms = self.clock.now_ms() if seen_ms is None else seen_ms
                await self._look_again(payout, reason, failed_at_ms=since_ms)
            case Missing(reason) | Unproven(reason):
                await self._look_again(payout, reason, failed_at_ms=None)
            case _:
                assert_never(outcome)

    async def _give_up(self, payout: Payout, reason: str) -> None:
        outcome = _after_earlier_calls(await self._pay(payout))
        match outcome:
            case Sent(fee):
                await self._arrived(payout, fee)
            case Failed():
                now_ms = self.clock.now_ms()
                if await self.store.write(payouts.failed, payout, self.terms.fee_rule, now_ms):
                    log.warning("payout failed", refund=payout.refund_id, reason=reason)
            case Missing(why) | Unproven(why):
                await self._look_again(payout, why, failed_at_ms=None)
            case _:
                assert_never(outcome)

    def _is_last_look(self, payout: Payout) -> bool:
        now_ms, seen_ms = self.clock.now_ms(), payout.failed_at_ms
        is_confirmed = seen_ms is not None and now_ms - seen_ms >= APART_MS
        return is_confirmed and now_ms >= payout.invoice_expires_at_ms + HOLD_MS

    async def _takes_over(self, payout: Payout) -> bool:
        now_ms = self.clock.now_ms()
        if payout.owner == self.process_id or payout.invoice_expires_at_ms <= now_ms:
            return False
        return await self.store.write(payouts.take_over, payout, self.process_id, now_ms)

    async def _arrived(self, payout: Payout, fee: Msat) -> None:
        rule, now_ms = self.terms.fee_rule, self.clock.now_ms()
        if await self.store.write(payouts.arrived, payout, fee, rule, now_ms):
            log.info(
                "payout arrived",
                refund=payout.refund_id,
                amount_msat=payout.amount,
                fee_msat=fee,
            )

    async def _look_again(self, payout: Payout, reason: str, *, failed_at_ms: int | None) -> None:
        """Look soon while the payment is young, and ever more rarely later."""
        now_ms = self.clock.now_ms()
        begun_at_ms = now_ms if payout.begun_at_ms is None else payout.begun_at_ms
        pause_ms = max(LOOK_AGAIN_MS, min((now_ms - begun_at_ms) // 8, LOOK_AGAIN_MS_MAX))
        is_news = await self.store.write(
            payouts.doubtful,
            payout,
            failed_at_ms=failed_at_ms,
            look_at_ms=now_ms + pause_ms,
            now_ms=now_ms,
        )
        if is_news:
            log.warning("payout unknown", refund=payout.refund_id, reason=reason)

    async def _try_again(self, payout: Payout, reason: str) -> None:
        log.warning("payout not begun", refund=payout.refund_id, reason=reason)
        look_at_ms = self.clock.now_ms() + RETRY_MS
        await self.store.write(
            payouts.not_begun, payout, owner=self.process_id, look_at_ms=look_at_ms
        )

    async def _not_sent(self, payout: Payout, reason: str) -> None:
        rule, now_ms = self.terms.fee_rule, self.clock.now_ms()
        if await self.store.write(payouts.not_sent, payout, rule, now_ms):
            log.warning("payout not sent", refund=payout.refund_id, reason=reason)


def _after_earlier_calls(outcome: Outcome | NotBegun) -> Outcome:
    """A call that was void proves nothing about the one before it."""
    return Unproven(outcome.reason) if isinstance(outcome, NotBegun) else outcome
