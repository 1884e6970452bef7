"""What is sold at /v1/chat/completions, in which order it is checked, and what goes upstream."""

import json

import pytest

from tests.simulator.model import Answer
from tests.v1.market import (
    ASKED,
    INPUT,
    MODEL,
    OUTPUT,
    OUTPUT_LIMIT,
    bearer,
    chat,
    events,
    hold_of,
    text_of,
    tokens,
)

TEXT = "Adam, Zoe"
COST = tokens(ASKED) * INPUT + tokens(TEXT) * OUTPUT


async def test_a_completion_is_the_upstreams_with_its_cost(market):
    token = await market.session()
    market.upstream.script(Answer(text=TEXT))

    answer = await market.ask(token)

    assert answer.status == 200
    assert answer.json["id"] == "chatcmpl-sim"
    assert text_of(answer) == TEXT
    assert answer.json["usage"] == {
        "prompt_tokens": tokens(ASKED),
        "completion_tokens": tokens(TEXT),
        "total_tokens": tokens(ASKED) + tokens(TEXT),
        "cost_msat": COST,
        "balance_msat": 1_000_000 - COST,
    }
    assert answer.headers["X-Cost-Msat"] == str(COST)
    assert answer.headers["X-Balance-Msat"] == str(1_000_000 - COST)
    assert answer.headers["x-should-retry"] == "false"


async def test_a_stream_is_the_upstreams_without_its_usage(market):
    token = await market.session()
    market.upstream.script(Answer(text=TEXT, pieces=4))

    answer = await market.ask(token, stream=True)

    assert text_of(answer) == TEXT
    assert events(answer)[-1] == "[DONE]"
    assert not any(event.get("usage") for event in events(answer)[:-1])
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["x-should-retry"] == "false"
    assert await market.spent(token) == COST


async def test_a_stream_ends_with_its_usage_where_that_is_asked_for(market):
    token = await market.session()
    market.upstream.script(Answer(text=TEXT, pieces=4))

    answer = await market.ask(token, stream=True, stream_options={"include_usage": True})

    *_, usage_chunk, done = events(answer)
    assert done == "[DONE]"
    assert usage_chunk["choices"] == []
    assert usage_chunk["id"] == "chatcmpl-sim"
    assert usage_chunk["usage"]["cost_msat"] == COST
    assert usage_chunk["usage"]["balance_msat"] == 1_000_000 - COST


async def test_the_charge_stands_before_the_last_bytes_leave(market):
    token = await market.session()

    for number in range(1, 11):
        await market.ask(token, stream=bool(number % 2))

        assert await market.spent(token) == number * (
            tokens(ASKED) * INPUT + tokens("Done as asked.") * OUTPUT
        )


async def test_the_ledger_names_the_request(market):
    token = await market.session()

    await market.ask(token, headers={"X-Request-Id": "my-own-name"})

    ledger = await market.shop.get("/sessions/me/ledger", headers=bearer(token))
    assert ledger.json["items"][0]["ref"] == "my-own-name"
    assert ledger.json["items"][0]["kind"] == "charge"


async def test_only_what_is_named_is_forwarded(market):
    token = await market.session()
    forwarded = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "n": 2,
        "stop": ["."],
        "seed": 7,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.1,
        "logit_bias": {"50256": -100},
        "logprobs": True,
        "top_logprobs": 3,
        "reasoning_effort": "low",
        "verbosity": "low",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"x": None}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
    }
    dropped = {
        "service_tier": "priority",
        "modalities": ["text", "audio"],
        "web_search_options": {},
        "best_of": 20,
        "prediction": {"type": "content", "content": "x"},
        "store": True,
        "user": "me",
        "stream_options": {"include_usage": True, "include_obfuscation": True},
    }

    await market.ask(token, **forwarded, **dropped)

    sent = market.upstream.calls[0].body
    assert sent == {
        "model": "simulated-model",
        "messages": [{"role": "user", "content": ASKED}],
        "max_tokens": OUTPUT_LIMIT,
        **forwarded,
    }
    assert market.upstream.calls[0].authorization == "Bearer sk-upstream-0123456789"


async def test_of_messages_and_tools_only_texts_and_functions_are_forwarded(market):
    token = await market.session()
    cache = {"cache_control": {"type": "ephemeral"}}
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

    await market.ask(
        token,
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "Be brief.", **cache}]},
            {"role": "assistant", "content": None, "tool_calls": [call], "audio": {"id": "a"}},
            {"role": "tool", "tool_call_id": "call_1", "content": "7", **cache},
        ],
        tools=[{"type": "function", "function": {"name": "f"}, **cache}],
    )

    sent = market.upstream.calls[0].body
    assert sent["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "7"},
    ]
    assert sent["tools"] == [{"type": "function", "function": {"name": "f"}}]


async def test_a_stream_always_asks_the_upstream_for_its_usage(market):
    token = await market.session()

    await market.ask(token, stream=True)

    sent = market.upstream.calls[0].body
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"max_tokens": 50}, {"max_tokens": 50}),
        ({"max_tokens": None, "max_completion_tokens": 50}, {"max_completion_tokens": 50}),
        (
            {"max_tokens": 50, "max_completion_tokens": 60},
            {"max_tokens": 50, "max_completion_tokens": 50},
        ),
        ({"max_tokens": None}, {"max_tokens": 1000}),
        ({"max_tokens": 10**9}, {"max_tokens": 1000}),
    ],
)
async def test_the_output_limit_goes_under_the_clients_own_name(market, asked, sent):
    token = await market.session(100_000)

    await market.ask(token, **asked)

    body = market.upstream.calls[0].body
    assert {name: body[name] for name in body if name.startswith("max_")} == sent


async def test_the_output_limit_is_lowered_to_what_the_token_allows(market):
    token = await market.session()
    body_msat = hold_of() - OUTPUT_LIMIT * OUTPUT
    weaker = await market.token(token, maxRequestMsat=body_msat + 20 * OUTPUT + 3)

    answer = await market.ask(weaker)

    assert answer.status == 200
    assert market.upstream.calls[0].body["max_tokens"] == 20


async def test_what_a_token_cannot_pay_by_itself_is_forbidden(market):
    token = await market.session()
    body_msat = hold_of() - OUTPUT_LIMIT * OUTPUT
    weaker = await market.token(token, maxRequestMsat=body_msat + 15 * OUTPUT)
    poor = await market.token(token, budgetMsat=body_msat)

    assert (await market.ask(weaker)).code == "forbidden"
    assert (await market.ask(poor, stream=True)).code == "forbidden"
    assert market.upstream.calls == []


async def test_a_token_for_other_models_or_without_the_right_to_spend_is_forbidden(market):
    token = await market.session()
    other = await market.token(token, models=["other"])
    reader = await market.token(token, rights=["read"])

    assert (await market.ask(other)).code == "forbidden"
    assert (await market.ask(reader)).code == "forbidden"
    assert (await market.ask(await market.token(token, models=[MODEL]))).status == 200


WRONG = {
    "": [1],
    "/model": {"model": 5},
    "/messages": {"messages": []},
    "/messages/0/role": {"messages": [{"role": "robot", "content": "x"}]},
    "/messages/0/content": {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]
    },
    "/messages/1/content": {
        "messages": [{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "1"}]
    },
    "/tools/0/type": {"tools": [{"type": "web_search", "function": {}}]},
    "/tool_choice": {"tool_choice": {"type": "web_search"}},
    "/n": {"n": 0},
    "/stream": {"stream": "yes"},
    "/max_tokens": {"max_tokens": 0},
    "/max_completion_tokens": {"max_completion_tokens": 1.5},
    "/temperature": {"temperature": 3},
    "/stop": {"stop": [5]},
    "/stream_options/include_usage": {"stream_options": {"include_usage": 1}},
}


@pytest.mark.parametrize("pointer", WRONG)
async def test_a_wrong_body_is_told_before_the_credential(market, pointer):
    body = WRONG[pointer]
    sent = chat(**body) if isinstance(body, dict) else body

    answer = await market.shop.post("/v1/chat/completions", json=sent)

    assert answer.code == "invalid_request"
    assert answer.json["errors"][0]["pointer"] == pointer
    assert answer.json["error"]["param"] == (pointer[1:] or None)


async def test_messages_beyond_the_context_are_refused_before_any_invoice(market):
    answer = await market.ask(None, messages=[{"role": "user", "content": "x" * 32_001}])

    assert answer.code == "invalid_request"
    assert answer.json["errors"][0]["pointer"] == "/messages"


async def test_another_model_is_not_found_before_the_credential(market):
    answer = await market.ask(None, model="gpt-nothing")

    assert answer.code == "not_found"


@pytest.mark.parametrize("is_keyed", [False, True])
async def test_a_jobs_token_and_a_forged_one_are_no_credentials(market, is_keyed):
    job = await market.shop.order()
    key = {"Idempotency-Key": "k"} if is_keyed else {}

    for token in (job["jobToken"], "AgEI" * 30, f"{job['jobToken']}:{'0' * 64}"):
        answer = await market.ask(token, headers=key)

        assert answer.code == "unauthorized"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_revoked_token_buys_nothing(market):
    token = await market.session()
    weaker = await market.token(token)
    listed = await market.shop.get("/sessions/me/tokens", headers=bearer(token))
    [child] = [each for each in listed.json["items"] if each["label"] == "weaker"]

    await market.shop.ask(
        "DELETE", f"/sessions/me/tokens/{child['tokenId']}", headers=bearer(token)
    )

    assert (await market.ask(weaker)).code == "unauthorized"
    assert (await market.ask(token)).status == 200


async def test_a_body_over_the_limit_is_refused(open_market):
    market = await open_market(LIMITS__V1_BODY_BYTES="2000")

    answer = await market.ask(None, user="x" * 2000)

    assert answer.code == "body_too_large"


async def test_the_models_are_listed_for_everybody(market):
    answer = await market.shop.get("/v1/models")

    assert answer.json["object"] == "list"
    assert [card["id"] for card in answer.json["data"]] == [MODEL, "other"]
    assert answer.json["data"][0]["pricing"] == {
        "input_msat_per_1k": INPUT * 1000,
        "output_msat_per_1k": OUTPUT * 1000,
    }
    assert answer.json["data"][0]["context_length"] == 8000


async def test_the_offline_agent_sells_here_too(open_market):
    market = await open_market(AGENT__KIND="offline", MODELS=json.dumps([{"id": MODEL}]))
    token = await market.session()

    plain = await market.ask(token, n=2)
    stream = await market.ask(token, stream=True, stream_options={"include_usage": True})
    short = await market.ask(token, max_tokens=1)

    assert text_of(plain) == text_of(stream) == "Adam, Zoe"
    assert plain.json["choices"][0]["finish_reason"] == "stop"
    assert len(plain.json["choices"]) == 2
    assert plain.json["usage"]["completion_tokens"] == 2 * tokens("Adam, Zoe")
    assert events(stream)[-2]["usage"]["completion_tokens"] == tokens("Adam, Zoe")
    assert short.json["choices"][0] | {"index": 0} == {
        "index": 0,
        "message": {"role": "assistant", "content": "Adam", "refusal": None},
        "logprobs": None,
        "finish_reason": "length",
    }
