"""The desk for single requests of a session: a text in, a text out, paid from the balance.

The road leads through the agent, as that of jobs does. A request runs to its end though its
customer hangs up, and is charged once.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from core.agents.port import Agent, AgentFault, Message, Model
from core.books.credentials import Bearer
from core.books.metering import Ask, Charged, Hold
from core.desk.answers import KeptAnswer
from core.desk.meter import CALL_S, Meter, explained, tokens_or_estimate
from core.desk.running import Running
from core.values import pricing
from core.values.errors import InvalidRequest
from core.values.money import Msat


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; `body_bytes` is the size that the hold is reckoned from."""

    request: str
    body_bytes: int
    model_id: str | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer, what it took, what it cost and what is left."""

    result: str
    model_id: str
    input_tokens: int
    output_tokens: int
    cost: Msat
    balance: Msat


@dataclass(frozen=True, slots=True, kw_only=True)
class AskDesk:
    """Sells single answers."""

    meter: Meter
    agent: Agent
    running: Running
    models: Mapping[str, Model]  # the first is the default

    async def ask(
        self,
        question: Question,
        bearer: Bearer,
        *,
        client: str,
        ref: str,
        keep: KeptAnswer[Answered] | None = None,
    ) -> Answered:
        """Answer a question, charged at its real cost.

        Raises Unauthorized, WrongState, Forbidden, RateLimited, PaymentRequired, InvalidRequest,
        WalletUnavailable, ShuttingDown, ModelUnavailable, ModelFailed, DatabaseUnavailable.
        """
        model = self._model(question)
        limit = min(question.max_output_tokens or model.max_output_tokens, model.max_output_tokens)
        ask = Ask(model.id, model.prices, question.body_bytes, choices=1, wanted=limit)
        hold = await self.meter.hold(bearer, ask, client=client)
        return await self.running.finish(self._answer(question, model, hold, ref, keep))

    async def _answer(
        self,
        question: Question,
        model: Model,
        hold: Hold,
        ref: str,
        keep: KeptAnswer[Answered] | None,
    ) -> Answered:
        messages = [Message("user", question.request)]
        try:
            async with asyncio.timeout(CALL_S):
                done = await self.agent.complete(
                    model, messages, max_output_tokens=hold.output_limit
                )
        except (AgentFault, TimeoutError) as fault:
            await self.meter.release(hold)
            raise explained(fault) from None
        except asyncio.CancelledError:
            await self.meter.release(hold)
            raise
        sent, made = len(question.request.encode()), len(done.text.encode())
        cost = self.meter.cost(model.prices, hold, done.usage, sent=sent, made=made)

        def answered(charged: Charged) -> Answered:
            return Answered(
                result=done.text,
                model_id=model.id,
                input_tokens=tokens_or_estimate(done.usage.input_tokens, sent),
                output_tokens=tokens_or_estimate(done.usage.output_tokens, made),
                cost=charged.cost,
                balance=charged.balance,
            )

        kept: KeptAnswer[Charged] | None = None
        if keep is not None:
            kept = KeptAnswer(keep.receipt, lambda charged: keep.render(answered(charged)))
        return answered(await self.meter.charge(hold, cost, ref=ref, keep=kept))

    def _model(self, question: Question) -> Model:
        model_id = question.model_id or next(iter(self.models))
        model = self.models.get(model_id)
        if model is None:
            raise InvalidRequest("No such model is for sale here.", pointer="/model")
        if pricing.estimated_tokens(question.request) > model.context_tokens:
            raise InvalidRequest("The request is too long for the model.", pointer="/request")
        return model
