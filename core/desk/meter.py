"""The meter: every request of a session is held before it runs and charged before it has ended.

One meter serves both roads to the model. It belongs to the core, not to a connection: what was
begun is charged or released whatever becomes of the client.
"""

from dataclasses import dataclass
from functools import partial

import structlog

from core.agents.port import AgentFault, UpstreamAway, Usage
from core.books import metering
from core.books.credentials import Bearer
from core.books.ledger import HoldResolved
from core.books.metering import Ask, Charged, Hold
from core.desk.answers import AnswerBook, Keep
from core.desk.running import Running
from core.desk.till import Till
from core.store.port import Store, Tx
from core.values import pricing
from core.values.clock import Clock
from core.values.errors import BoltworkError, DatabaseUnavailable, ModelFailed, ModelUnavailable
from core.values.money import NOTHING, Msat, ceil_div
from core.values.pricing import Prices, Pricing

AGAIN_S = 1.0
CALL_S = 1_800  # no call takes longer, whatever the upstream drips
HOLD_MS = 3_600_000  # no request runs longer; the hold of a dead process is released at once

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Holds and charges."""

    store: Store
    till: Till
    clock: Clock
    answers: AnswerBook
    pricing: Pricing
    process_id: str
    running: Running

    async def hold(self, bearer: Bearer, ask: Ask, *, client: str) -> Hold:
        """Set aside the most that this request can cost.

        Raises Unauthorized, WrongState, Forbidden, RateLimited, PaymentRequired, InvalidRequest,
        WalletUnavailable, ShuttingDown.
        """
        attempt = partial(
            metering.reserve,
            bearer=bearer,
            ask=ask,
            terms=self.pricing,
            owner=self.process_id,
            expires_at_ms=self.clock.now_ms() + HOLD_MS,
        )
        return await self.till.sell(attempt, bearer, client=client)

    def most(self, ask: Ask) -> Msat:
        """What a request is held at where nothing lowers its output limit."""
        return pricing.hold_msat(
            self.pricing,
            ask.prices,
            body_bytes=ask.body_bytes,
            choices=ask.choices,
            output_limit=ask.wanted,
        )

    def cost(self, prices: Prices, hold: Hold, usage: Usage, *, sent: int, made: int) -> Msat:
        """What was used costs; where the usage is missing or absurd, four bytes are one token.

        `sent` and `made` are the bytes of the request and of the answer.
        """
        return pricing.request_cost_msat(
            self.pricing,
            prices,
            input_tokens=tokens_or_estimate(usage.input_tokens, sent),
            output_tokens=tokens_or_estimate(usage.output_tokens, made),
            hold=hold.amount,
        )

    async def charge(
        self, hold: Hold, cost: Msat, *, ref: str, keep: Keep[Charged] | None = None
    ) -> Charged:
        """Charge a request, and keep its answer in the same transaction where a key asks for it.

        Raises DatabaseUnavailable; the hold is then given back as soon as the database can.
        """
        try:
            return await self.store.write(self._charge, hold, cost, ref, keep)
        except HoldResolved:
            # This process was taken for dead. The customer has the answer and keeps the money.
            log.warning("hold was given up before its charge", hold=hold.hold_id, cost_msat=cost)
            return Charged(NOTHING, NOTHING)
        except DatabaseUnavailable:
            self.running.start(self._release_later(hold))
            raise

    async def release(self, hold: Hold) -> None:
        """Give a hold back, now where the database can, else as soon as it can."""
        try:
            await self.store.write(metering.release, hold.hold_id, self.clock.now_ms())
        except DatabaseUnavailable:
            self.running.start(self._release_later(hold))

    async def _release_later(self, hold: Hold) -> None:
        while True:
            await self.clock.sleep(AGAIN_S)
            try:
                await self.store.write(metering.release, hold.hold_id, self.clock.now_ms())
            except DatabaseUnavailable:
                continue
            except HoldResolved:  # the charge stood although the database said that it did not
                log.warning("hold was charged after all", hold=hold.hold_id)
            return

    async def _charge(
        self, tx: Tx, hold: Hold, cost: Msat, ref: str, keep: Keep[Charged] | None
    ) -> Charged:
        now_ms = self.clock.now_ms()
        charged = await metering.charge(tx, hold, cost, ref=ref, now_ms=now_ms)
        await self.answers.keep(tx, keep, charged, now_ms)
        return charged


def tokens_or_estimate(reported: int | None, size_bytes: int) -> int:
    """The tokens that were reported; where none were, four bytes are one token."""
    return ceil_div(size_bytes, pricing.BYTES_PER_TOKEN) if reported is None else reported


def explained(fault: AgentFault | TimeoutError | DatabaseUnavailable) -> BoltworkError:
    """How a customer is told why a request could not be served."""
    match fault:
        case UpstreamAway():
            return ModelUnavailable(fault.reason, retry_after_s=fault.retry_after_s)
        case AgentFault():
            return ModelFailed(fault.reason)
        case TimeoutError():
            return ModelUnavailable(f"the upstream took longer than {CALL_S} s")
        case _:
            return fault
