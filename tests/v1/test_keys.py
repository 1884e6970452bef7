"""Idempotency-Key at /v1: one request is served and charged once, whoever asks how often."""

import asyncio

import pytest

from tests.simulator.model import Answer, Fault
from tests.v1.market import ASKED, INPUT, OUTPUT, events, tokens

KEY = {"Idempotency-Key": "a-key-of-mine"}
TEXT = "Adam, Zoe"
COST = tokens(ASKED) * INPUT + tokens(TEXT) * OUTPUT

each_kind = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])


@each_kind
async def test_the_same_request_again_gets_the_same_answer_at_no_cost(market, is_stream):
    token = await market.session()
    market.upstream.script(Answer(text=TEXT))
    fields = {"stream": is_stream, "stream_options": {"include_usage": True}}

    first = await market.ask(token, headers=KEY, **fields)
    again = await market.ask(token, headers=KEY, **fields)

    assert first.status == again.status == 200
    assert first.body == again.body
    assert first.headers["Content-Type"] == again.headers["Content-Type"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(market.upstream.calls) == 1
    assert await market.spent(token) == COST


@each_kind
async def test_requests_at_the_same_moment_wait_for_the_first(market, is_stream):
    token = await market.session()
    market.upstream.script(Answer(text=TEXT, every_s=0.2))

    answers = await asyncio.gather(
        *(market.ask(token, headers=KEY, stream=is_stream) for _ in range(5))
    )

    assert {answer.body for answer in answers} == {answers[0].body}
    assert {answer.status for answer in answers} == {200}
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 4
    assert len(market.upstream.calls) == 1
    assert (await market.at_rest(token))["spentMsat"] == COST


async def test_another_request_under_the_key_is_refused(market):
    token = await market.session()
    await market.ask(token, headers=KEY)

    answer = await market.ask(token, headers=KEY, temperature=1)

    assert answer.status == 422
    assert answer.code == "idempotency_key_reused"


async def test_the_key_belongs_to_the_token(market):
    token, other = await market.session(), await market.session()

    await market.ask(token, headers=KEY)
    answer = await market.ask(other, headers=KEY)

    assert "Idempotency-Replayed" not in answer.headers
    assert len(market.upstream.calls) == 2


@each_kind
@pytest.mark.parametrize(
    "fault", [Fault.status(500), Fault.cut(), Fault.malformed()], ids=["500", "cut", "malformed"]
)
async def test_a_failure_frees_the_key(market, fault, is_stream):
    token = await market.session()
    market.upstream.script(fault, Answer(text=TEXT))

    await market.ask(token, headers=KEY, stream=is_stream)
    assert (await market.at_rest(token))["spentMsat"] == 0
    answer = await market.ask(token, headers=KEY, stream=is_stream)

    assert answer.status == 200
    assert "Idempotency-Replayed" not in answer.headers
    assert (await market.at_rest(token))["spentMsat"] == COST


async def test_a_refusal_frees_the_key(market):
    token = await market.session()
    poor = await market.token(token, budgetMsat=1)

    for _ in range(2):
        refused = await market.ask(poor, headers=KEY)

        assert refused.code == "forbidden"
        assert "Idempotency-Replayed" not in refused.headers


@each_kind
async def test_a_customer_who_hangs_up_is_served_charged_and_answered_later(market, is_stream):
    token = await market.session()
    market.upstream.script(Answer(text=TEXT, every_s=0.3))
    asking = asyncio.create_task(market.ask(token, headers=KEY, stream=is_stream))
    await market.upstream.called(1)

    asking.cancel()
    answer = await market.ask(token, headers=KEY, stream=is_stream)

    assert answer.status == 200
    assert answer.headers["Idempotency-Replayed"] == "true"
    if is_stream:
        assert events(answer)[-1] == "[DONE]"
    assert len(market.upstream.calls) == 1
    assert (await market.at_rest(token))["spentMsat"] == COST


async def test_a_plain_request_without_a_key_runs_to_its_end_too(market):
    token = await market.session()
    market.upstream.script(Answer(text=TEXT, every_s=0.3))
    asking = asyncio.create_task(market.ask(token))
    call = await market.upstream.called(1)

    asking.cancel()
    await call.over()

    assert call.client_left_after_s is None
    account = await market.at_rest(token)
    assert account["spentMsat"] == COST
