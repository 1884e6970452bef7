"""The simulated upstream itself, where other tests lean on it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.simulator.model import Answer, Fault, SimulatedModel, verdict

CALL = {"model": "m", "messages": [{"role": "user", "content": "12345678"}]}


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(client: aiohttp.ClientSession, base: str, body: dict[str, Any]) -> str:
    async with client.post(f"{base}/chat/completions", json=body) as response:
        return await response.text()


async def test_usage_is_measured_and_its_chunk_comes_only_when_asked(
    client: aiohttp.ClientSession,
) -> None:
    async with SimulatedModel() as model:
        model.settings.work = Answer("abcdefgh")

        plain = json.loads(await post(client, model.url, CALL))
        bare = await post(client, model.url, CALL | {"stream": True})
        asked = await post(
            client, model.url, CALL | {"stream": True, "stream_options": {"include_usage": True}}
        )

    assert plain["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    assert "usage" not in bare
    last = json.loads(asked.split("\n\n")[-3].removeprefix("data: "))
    assert last["choices"] == []
    assert last["usage"] == plain["usage"]
    assert bare.endswith("data: [DONE]\n\n")


async def test_scripts_are_used_in_order_and_verdicts_have_their_own(
    client: aiohttp.ClientSession,
) -> None:
    async with SimulatedModel() as model:
        model.script(Answer("first"), Fault.status(429, retry_after=3))
        model.judge(verdict("reject"))
        evaluation = CALL | {"response_format": {"schema": "estimated_output_tokens"}}

        judged = await post(client, model.url, evaluation)
        first = await post(client, model.url, CALL)
        async with client.post(f"{model.url}/chat/completions", json=CALL) as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (429, "3")
        left = await post(client, model.url, CALL)

    assert "reject" in judged
    assert "first" in first
    assert "Done as asked." in left
    assert [call.is_evaluation for call in model.calls] == [True, False, False, False]


async def test_a_stopped_upstream_refuses_connections_until_it_is_back(
    client: aiohttp.ClientSession,
) -> None:
    async with SimulatedModel() as model:
        await model.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await post(client, model.url, CALL)

        await model.start()

        assert "Done" in await post(client, model.url, CALL)


async def test_as_a_process_it_is_steered_and_read_over_http(
    client: aiohttp.ClientSession,
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.simulator.model", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        base = json.loads(line)["url"]
        control = base.replace("/v1", "/_control")
        script = {"work": [{"text": "steered", "usage": [1, 2]}], "verdicts": [{"text": "bad"}]}
        await client.post(f"{control}/script", json=script)
        await client.post(f"{control}/settings", json={"work": {"text": "standing"}})

        answers = [await post(client, base, CALL) for _ in range(2)]
        async with client.get(f"{control}/calls") as response:
            calls = await response.json()

        assert ["steered" in answers[0], "standing" in answers[1]] == [True, True]
        assert [call["body"] for call in calls] == [CALL, CALL]
        await client.post(f"{control}/reset")
        async with client.get(f"{control}/calls") as response:
            assert await response.json() == []
    finally:
        process.terminate()
        await process.wait()
