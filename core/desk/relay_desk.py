"""The desk of the OpenAI-compatible road: every request is held, relayed and charged.

What a request was charged is durable before its last bytes leave. An upstream that fails costs the
customer nothing. An answer that comes whole, and every request under a key, is run to its end
though its customer has gone; a stream without a key is stopped then, and pays for what was made.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from core.agents.port import AgentFault, Relay, Usage
from core.books.credentials import Bearer
from core.books.idempotency import Receipt
from core.books.metering import Charged, Hold
from core.desk.answers import Answer, AnswerBook, Keep, KeptAnswer
from core.desk.chat_events import EventReader, dumped, made_bytes, read_completion, usage_in
from core.desk.chat_request import ChatRequest
from core.desk.listeners import Listener, Tape
from core.desk.meter import CALL_S, Meter, explained, tokens_or_estimate
from core.desk.running import Running
from core.values.errors import DatabaseUnavailable, Forbidden

T = TypeVar("T")

Render = Callable[[bytes, Charged], Answer]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and the name of the request in the customer's ledger."""

    bearer: Bearer
    client: str
    ref: str


@dataclass(eq=False)
class _Ride:
    """One held request on its way. Its hold is settled once: charged or given back."""

    order: ChatRequest
    hold: Hold
    ref: str
    reader: EventReader = field(default_factory=EventReader)
    has_called: bool = False
    is_settled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayDesk:
    """Sells chat completions."""

    meter: Meter
    relay: Relay
    answers: AnswerBook
    running: Running

    async def plain(
        self, order: ChatRequest, caller: Caller, *, render: Render, receipt: Receipt | None
    ) -> Answer:
        """The whole answer, as the door renders it; under a key it is kept with its charge.

        Raises Unauthorized, WrongState, Forbidden, RateLimited, PaymentRequired, InvalidRequest,
        WalletUnavailable, ShuttingDown, ModelUnavailable, ModelFailed.
        """
        work = self._plain(order, caller, render, receipt)
        if receipt is None:
            return await self.running.here(work)
        return await self.running.finish(self._under(receipt, work))

    async def stream(self, order: ChatRequest, caller: Caller, listener: Listener) -> None:
        """Stream until the end, or until the listener has gone.

        Raises what `plain` raises while nothing was sent, later HungUp only: a fault is then told
        in the stream.
        """
        ride = _Ride(order, await self._hold_or_return(order, caller), caller.ref)
        try:
            await self._run(ride, listener, None)
        finally:
            if not ride.is_settled:
                settle = self._charge_so_far if listener.is_gone else self._release
                await self.running.finish(settle(ride))

    def record(
        self, order: ChatRequest, caller: Caller, tape: Tape, *, render: Render, receipt: Receipt
    ) -> asyncio.Task[None]:
        """Stream to a tape, whoever follows it; the whole is kept with its charge.

        The task raises what `stream` raises.
        """
        work = self._recorded(order, caller, tape, render, receipt)
        return self.running.start(self._under(receipt, work))

    async def _under(self, receipt: Receipt, work: Coroutine[Any, Any, T]) -> T:
        """Do the work; a key that did not get its answer by it is free again."""
        try:
            return await work
        finally:
            await self.answers.release(receipt)

    async def _plain(
        self, order: ChatRequest, caller: Caller, render: Render, receipt: Receipt | None
    ) -> Answer:
        ride = _Ride(order, await self._hold(order, caller), caller.ref)
        try:
            async with asyncio.timeout(CALL_S):
                raw = await self.relay.plain(order.upstream_body(ride.hold.output_limit))
            completion = read_completion(raw)
            told = completion.get("usage")
            counts = _counts(usage_in(told), order.text_bytes, made_bytes(completion))

            def answer(charged: Charged) -> Answer:
                usage = _usage(told, counts, charged)
                return render(dumped({**completion, "usage": usage}), charged)

            keep = None if receipt is None else KeptAnswer(receipt, answer)
            return answer(await self._charge(ride, counts, keep))
        except (AgentFault, TimeoutError) as fault:
            raise explained(fault) from None
        finally:
            await self._release(ride)

    async def _recorded(
        self, order: ChatRequest, caller: Caller, tape: Tape, render: Render, receipt: Receipt
    ) -> None:
        ride = _Ride(order, await self._hold(order, caller), caller.ref)

        def answer(charged: Charged) -> Answer:
            return render(bytes(tape.events) + _closing(ride, charged), charged)

        try:
            await self._run(ride, tape, KeptAnswer(receipt, answer))
        finally:
            await self._release(ride)

    async def _run(self, ride: _Ride, listener: Listener, keep: Keep[Charged] | None) -> None:
        """Relay one stream to its end and charge it; a fault on the way gives the hold back."""
        try:
            charged = await self._relayed(ride, listener, keep)
        except (AgentFault, TimeoutError, DatabaseUnavailable) as fault:
            await self._release(ride)
            problem = explained(fault)
            if not listener.has_begun:
                raise problem from None
            log.warning("stream broke", code=problem.code, reason=str(fault))
            await listener.send(ride.reader.error(problem.code, problem.detail))
        else:
            await listener.send(_closing(ride, charged))

    async def _relayed(
        self, ride: _Ride, listener: Listener, keep: Keep[Charged] | None
    ) -> Charged:
        """Send all but the end, then charge."""
        order, reader = ride.order, ride.reader
        body = order.upstream_body(ride.hold.output_limit)
        ride.has_called = True
        async with asyncio.timeout(CALL_S), aclosing(self.relay.stream(body)) as pieces:
            async for piece in pieces:
                if events := reader.feed(piece):
                    await listener.send(events)
                if reader.is_done:
                    break
            if not reader.has_ended:
                raise AgentFault("the stream ended without a finish")
            # Charged in here: meanwhile the upstream's connection comes to its end and can be
            # used again.
            return await self.running.finish(self._charge(ride, _made(ride), keep))

    async def _hold(self, order: ChatRequest, caller: Caller) -> Hold:
        if not caller.bearer.token.caveats.allows("spend"):
            raise Forbidden("The token lacks the right to spend.")
        return await self.meter.hold(caller.bearer, order.ask, client=caller.client)

    async def _hold_or_return(self, order: ChatRequest, caller: Caller) -> Hold:
        """A hold that is given back where the customer goes before it is there."""
        holding = self.running.start(self._hold(order, caller))
        try:
            return await asyncio.shield(holding)
        except asyncio.CancelledError:
            self.running.start(self._return(holding))
            raise

    async def _return(self, holding: asyncio.Task[Hold]) -> None:
        await asyncio.wait([holding])
        if not holding.cancelled() and holding.exception() is None:
            await self.meter.release(holding.result())

    async def _charge(self, ride: _Ride, counts: Usage, keep: Keep[Charged] | None) -> Charged:
        """Charge what was used. Raises DatabaseUnavailable."""
        ride.is_settled = True
        cost = self.meter.cost(ride.order.model.prices, ride.hold, counts, sent=0, made=0)
        return await self.meter.charge(ride.hold, cost, ref=ride.ref, keep=keep)

    async def _charge_so_far(self, ride: _Ride) -> None:
        """The customer has gone: input and output so far are paid, where the model was called."""
        if not ride.has_called:
            await self._release(ride)
            return
        try:
            await self._charge(ride, _made(ride), None)
        except DatabaseUnavailable as fault:
            log.warning("stream not charged", reason=fault.reason)

    async def _release(self, ride: _Ride) -> None:
        """Give an unsettled hold back."""
        if not ride.is_settled:
            ride.is_settled = True
            await self.meter.release(ride.hold)


def _made(ride: _Ride) -> Usage:
    """What a stream has used so far, as it was told, else by its texts."""
    reader = ride.reader
    return _counts(reader.usage, ride.order.text_bytes, reader.made_bytes)


def _counts(told: Usage, sent_bytes: int, made_bytes: int) -> Usage:
    return Usage(
        tokens_or_estimate(told.input_tokens, sent_bytes),
        tokens_or_estimate(told.output_tokens, made_bytes),
    )


def _closing(ride: _Ride, charged: Charged) -> bytes:
    reader = ride.reader
    if not ride.order.wants_usage:
        return reader.closing(None)
    return reader.closing(_usage(reader.told_usage, _made(ride), charged))


def _usage(told: object, counts: Usage, charged: Charged) -> Mapping[str, object]:
    """The usage member for the customer: what was charged for, and what it cost."""
    asked, made = counts.input_tokens or 0, counts.output_tokens or 0
    return {
        **(told if isinstance(told, dict) else {}),
        "prompt_tokens": asked,
        "completion_tokens": made,
        "total_tokens": asked + made,
        "cost_msat": charged.cost,
        "balance_msat": charged.balance,
    }
