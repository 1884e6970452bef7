"""OpenAI's routes: any of its clients works with this server's address and a token as its key.

The body and the model are looked at before the credential, for its absence is answered with a
challenge over what this very request needs: whoever pays it has opened a session.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, assert_never

from aiohttp import web

from api import v1_models as models
from api.credentials import presented_in
from api.edge import REQUEST_ID, ClientGone
from api.keys import fingerprint, key_in
from api.pipeline import principal_of, replayed
from api.problems import Problem, Refusal
from api.route import EVENTS, JSON, AnyRoute, Auth, Call, Reply, Route, answer
from api.v1_stream import Connection
from core.agents.port import Model
from core.books.credentials import Bearer
from core.books.idempotency import KeyReused, KeyRunning, Receipt
from core.books.metering import Charged
from core.desk.answers import Answer, Fresh
from core.desk.chat_request import ChatRequest, read_chat_request
from core.desk.front_desk import Desk
from core.desk.listeners import HungUp, Tape
from core.desk.relay_desk import Caller
from core.values.errors import Unauthorized
from core.values.tokens import BAD_CREDENTIAL, JOB_HASH

_TAG: Final = "OpenAI-compatible"
_OWNER: Final = "boltwork"
_BYTES_WITHOUT_LIMIT: Final = 2**40
# OpenAI's clients repeat some answers by themselves; this one has been paid for.
_PAID_HEADERS: Final = {"x-should-retry": "false"}
_STREAM_HEADERS: Final = {
    **_PAID_HEADERS,
    "Content-Type": EVENTS,
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # else nginx holds events back
}

ChatCall = Call[models.ChatCompletionRequest, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class V1Routes:
    """The routes under /v1. `body_bytes_max` 0 is no limit."""

    desk: Desk
    body_bytes_max: int
    opened_at_s: int

    def table(self) -> list[AnyRoute]:
        """Completions and models."""
        costs = {
            "X-Cost-Msat": "What it cost.",
            "X-Balance-Msat": "What is left of the balance.",
        }
        return [
            Route(
                method="POST",
                path="/v1/chat/completions",
                handler=self.complete,
                summary="Make a chat completion, whole or as a stream",
                tag=_TAG,
                body=models.ChatCompletionRequest,
                body_bytes_max=self.body_bytes_max or _BYTES_WITHOUT_LIMIT,
                auth=Auth.CHALLENGED,
                replies=(
                    Reply(200, "The completion.", models.ChatCompletion, headers=costs),
                    Reply(200, "Or its chunks, then `[DONE]`.", media_type=EVENTS),
                ),
                request_headers={
                    "Idempotency-Key": "The same request again is answered with the first answer."
                },
                problems=_PROBLEMS,
            ),
            Route(
                method="GET",
                path="/v1/models",
                handler=self.list_models,
                summary="List the models for sale",
                tag=_TAG,
                replies=(Reply(200, "The models.", models.ModelList),),
            ),
        ]

    async def list_models(self, _call: Call[None, None]) -> Answer:
        """Show what is for sale; nobody needs a credential for that."""
        cards = [_card(model, self.opened_at_s) for model in self.desk.models.values()]
        return answer(models.ModelList(object="list", data=cards))

    async def complete(self, call: ChatCall) -> Answer | web.StreamResponse:
        """Sell a completion."""
        order = read_chat_request(
            models.forwarded_fields(call.body()),
            self.desk.models,
            body_bytes=len(call.raw_body),
        )
        headers = call.request.headers
        presented = presented_in(headers)
        if presented is None:
            raise await self.desk.till.challenge_for(
                self.desk.meter.most(order.ask), client=call.client
            )
        key = key_in(headers, length_min=1)
        if key is None:
            bearer = _of_session(self.desk.verify(presented.token, presented.preimage_bytes))
            return await self._sell(call, order, bearer)
        bearer = _of_session(await self.desk.identify(presented.token, presented.preimage_bytes))
        return await self._sell_once(call, order, bearer, key)

    async def _sell(
        self, call: ChatCall, order: ChatRequest, bearer: Bearer
    ) -> Answer | web.StreamResponse:
        caller = Caller(bearer, call.client, call.request[REQUEST_ID])
        if not order.is_stream:
            return await self.desk.relay.plain(order, caller, render=_plain, receipt=None)
        with _connection(call.request) as connection:
            await self.desk.relay.stream(order, caller, connection)
            return await connection.end()

    async def _sell_once(
        self, call: ChatCall, order: ChatRequest, bearer: Bearer, key: str
    ) -> Answer | web.StreamResponse:
        """Sell under a key: the first request is served, every other waits for its answer."""
        request = call.request
        claimed = await self.desk.answers.claim_in_turn(
            principal_of(bearer),
            key,
            fingerprint(request.method, request.rel_url.raw_path, call.raw_body),
            still_there=lambda: request.transport is not None,
        )
        match claimed:
            case Fresh(receipt):
                return await self._sell_kept(call, order, bearer, receipt)
            case Answer():
                return replayed(claimed)
            case KeyReused():
                raise Refusal(
                    Problem("idempotency_key_reused", "This key stands for another request.")
                )
            case KeyRunning():
                raise ClientGone
            case _:
                assert_never(claimed)

    async def _sell_kept(
        self, call: ChatCall, order: ChatRequest, bearer: Bearer, receipt: Receipt
    ) -> Answer | web.StreamResponse:
        caller = Caller(bearer, call.client, call.request[REQUEST_ID])
        if not order.is_stream:
            return await self.desk.relay.plain(order, caller, render=_plain, receipt=receipt)
        tape = Tape()
        writing = self.desk.relay.record(order, caller, tape, render=_streamed, receipt=receipt)
        with _connection(call.request) as connection:
            async for events in tape.follow(writing):
                await connection.send(events)
            return await connection.end()


@contextmanager
def _connection(request: web.Request) -> Iterator[Connection]:
    try:
        with Connection(request, _STREAM_HEADERS).watched() as connection:
            yield connection
    except HungUp:
        raise ClientGone from None


def _of_session(bearer: Bearer) -> Bearer:
    """The bearer, whose token is a session's: a job's token never pays for requests."""
    if bearer.token.payment_hash == JOB_HASH:
        raise Unauthorized(BAD_CREDENTIAL)
    return bearer


def _plain(body: bytes, charged: Charged) -> Answer:
    headers = {
        **_PAID_HEADERS,
        "Content-Type": JSON,
        "X-Cost-Msat": str(charged.cost),
        "X-Balance-Msat": str(charged.balance),
    }
    return Answer(200, headers, body)


def _streamed(events: bytes, _charged: Charged) -> Answer:
    return Answer(200, _STREAM_HEADERS, events)


def _card(model: Model, created_s: int) -> models.ModelCard:
    return models.ModelCard(
        id=model.id,
        object="model",
        created=created_s,
        owned_by=_OWNER,
        context_length=model.context_tokens,
        pricing=models.ModelPricing(
            input_msat_per_1k=model.prices.input_msat_per_1k,
            output_msat_per_1k=model.prices.output_msat_per_1k,
        ),
    )


_PROBLEMS: Final = (
    "unauthorized",
    "payment_required",
    "insufficient_balance",
    "forbidden",
    "not_found",
    "wrong_state",
    "idempotency_key_reused",
    "model_failed",
    "model_unavailable",
    "wallet_unavailable",
    "database_unavailable",
    "paused",
    "shutting_down",
)
