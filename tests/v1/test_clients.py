"""Clients of OpenAI's world, unmodified: an address and a token as their key is all they get."""

import asyncio
import json
import sys
from pathlib import Path

import openai
import pytest
from langchain_openai import ChatOpenAI

from tests.simulator.model import Answer, Fault
from tests.v1.market import ASKED, INPUT, MODEL, OUTPUT, tokens

TEXT = "Adam, Zoe"
COST = tokens(ASKED) * INPUT + tokens(TEXT) * OUTPUT
MESSAGES = [{"role": "user", "content": ASKED}]

TOOL_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "sort", "arguments": '{"names": ["Zoe"]}'},
}
CALLING = json.dumps(
    {
        "id": "chatcmpl-tools",
        "object": "chat.completion",
        "created": 1_800_000_000,
        "model": "simulated-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42},
    }
)


@pytest.fixture
async def client(market):
    token = await market.session()
    async with openai.AsyncOpenAI(base_url=market.base_url, api_key=token) as opened:
        yield opened


async def test_openai_plain(market, client):
    market.upstream.script(Answer(text=TEXT))

    made = await client.chat.completions.create(model=MODEL, messages=MESSAGES)

    assert made.choices[0].message.content == TEXT
    assert made.choices[0].finish_reason == "stop"
    assert made.usage.model_extra == {"cost_msat": COST, "balance_msat": 1_000_000 - COST}


async def test_openai_stream(market, client):
    market.upstream.script(Answer(text=TEXT, pieces=5))

    stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    chunks = [chunk async for chunk in stream]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


async def test_openai_stream_with_usage(market, client):
    market.upstream.script(Answer(text=TEXT, pieces=5))

    stream = await client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == tokens(TEXT)
    assert chunks[-1].usage.model_extra["cost_msat"] == COST


async def test_openai_tools(market, client):
    market.upstream.script(Fault.raw(CALLING, "application/json"))

    made = await client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        tools=[{"type": "function", "function": {"name": "sort", "parameters": {}}}],
        tool_choice="required",
    )

    [call] = made.choices[0].message.tool_calls
    assert call.function.name == "sort"
    assert json.loads(call.function.arguments) == {"names": ["Zoe"]}
    assert made.usage.model_extra["cost_msat"] == 30 * INPUT + 12 * OUTPUT


async def test_openai_meets_a_challenge_as_an_error(market):
    # What such a client sends without a key of ours is no token, and no reason to ask for money.
    async with openai.AsyncOpenAI(base_url=market.base_url, api_key="sk-nothing") as stranger:
        with pytest.raises(openai.AuthenticationError) as found:
            await stranger.chat.completions.create(model=MODEL, messages=MESSAGES)

    assert found.value.code == "unauthorized"


@pytest.mark.parametrize(
    ("fields", "error", "code"),
    [
        ({"model": "nothing"}, openai.NotFoundError, "not_found"),
        ({"temperature": 9}, openai.BadRequestError, "invalid_request"),
        ({"n": 1000}, openai.BadRequestError, "invalid_request"),
    ],
)
async def test_openai_reads_our_refusals(client, fields, error, code):
    with pytest.raises(error) as found:
        await client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **fields})

    assert found.value.code == code
    assert found.value.type == "invalid_request_error"


async def test_openai_repeats_by_itself_what_has_cost_nothing(market, client):
    market.upstream.script(Fault.status(503), Fault.status(500), Answer(text=TEXT))

    made = await client.with_options(max_retries=2).chat.completions.create(
        model=MODEL, messages=MESSAGES, extra_headers={"retry-after-ms": "1"}
    )

    assert made.usage.model_extra["balance_msat"] == 1_000_000 - COST
    assert len(market.upstream.calls) == 3


async def test_openai_raises_the_fault_of_a_broken_stream_after_its_text(market, client):
    market.upstream.script(Fault.stall(after=2))

    stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    first, second = await anext(stream), await anext(stream)
    with pytest.raises(openai.APIError) as found:
        await anext(stream)

    assert first.choices[0].delta.content + second.choices[0].delta.content == "one two th"
    assert found.value.code == "model_unavailable"


async def test_langchain(market):
    market.upstream.script(Answer(text=TEXT), Answer(text=TEXT, pieces=4))
    token = await market.session()
    model = ChatOpenAI(model=MODEL, base_url=market.base_url, api_key=token, stream_usage=True)

    whole = await model.ainvoke(ASKED)
    pieces = [piece async for piece in model.astream(ASKED)]

    assert whole.content == TEXT
    assert whole.usage_metadata["output_tokens"] == tokens(TEXT)
    assert "".join(str(piece.content) for piece in pieces) == TEXT
    assert [piece.usage_metadata["output_tokens"] for piece in pieces if piece.usage_metadata]


@pytest.mark.parametrize("way", [[], ["--no-stream"]], ids=["stream", "whole"])
async def test_the_llm_command(market, tmp_path, way):
    market.upstream.script(Answer(text=TEXT, pieces=4))
    card = {"model_id": "mine", "model_name": MODEL, "api_base": market.base_url}
    card["api_key_name"] = "market"
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([card]))

    asked = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("llm"),
        *("-m", "mine", "--key", await market.session(), *way, ASKED),
        env={"LLM_USER_PATH": str(tmp_path), "HOME": str(tmp_path)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        said, _ = await asked.communicate()

    assert asked.returncode == 0
    assert said.decode().strip() == TEXT
