"""The meter: every request of a session is held before it runs and charged before it has ended.

One meter serves both roads to the model. It belongs to the core, not to a connection: what was
begun is charged or released whatever becomes of the client.
"""

from collections.abc import Awaitable
from dataclasses import dataclass

import structlog

from core.agents.port import Usage
from core.books import metering
from core.books.credentials import Bearer
from core.books.ledger import HoldResolved
from core.books.metering import Ask, Charged, Hold
from core.desk.answers import AnswerBook, Keep
from core.desk.till import Till
from core.store.port import Store, Tx
from core.values import pricing
from core.values.clock import Clock
from core.values.money import NOTHING, Msat, ceil_div
from core.values.pricing import Prices, Pricing

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

    async def hold(self, bearer: Bearer, ask: Ask, *, client: str) -> Hold:
        """Set aside the most that this request can cost.

        Raises Unauthorized, WrongState, Forbidden, RateLimited, PaymentRequired, InvalidRequest,
        WalletUnavailable, ShuttingDown.
        """

        def attempt() -> Awaitable[Hold]:
            return self.store.write(
                metering.reserve,
                bearer,
                ask,
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
        """Charge a request, and keep its answer in the same transaction where a key asks for it."""
        try:
            return await self.store.write(self._charge, hold, cost, ref, keep)
        except HoldResolved:
            # This process was taken for dead. The customer has the answer and keeps the money.
            log.warning("hold was given up before its charge", hold=hold.hold_id, cost_msat=cost)
            return Charged(NOTHING, NOTHING)

    async def release(self, hold: Hold) -> None:
        """Give a hold back: the request came to nothing and costs nothing."""
        await self.store.write(metering.release, hold.hold_id, self.clock.now_ms())

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
