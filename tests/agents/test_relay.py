"""The relay against a real upstream: bytes pass unchanged, faults have names, closing stops."""

import json
from collections.abc import AsyncIterator

import orjson
import pytest

from core.agents.offline import OfflineAgent
from core.agents.offline_relay import OfflineRelay
from core.agents.port import AgentFault, UpstreamAway
from core.agents.relay import HttpRelay
from tests.agents.asking import KEY
from tests.agents.stopped_clock import StoppedClock
from tests.simulator.model import Answer, Fault, SimulatedModel

CALL = {"model": "m", "messages": [{"role": "user", "content": "Sort: b, a"}], "max_tokens": 9}
PLAIN = json.dumps(CALL).encode()
STREAM = json.dumps(CALL | {"stream": True}).encode()


@pytest.fixture
async def relay(upstream: SimulatedModel) -> AsyncIterator[HttpRelay]:
    opened = HttpRelay(base_url=upstream.url, api_key=KEY, timeout_s=0.3)
    yield opened
    await opened.aclose()


async def test_a_body_goes_out_and_an_answer_comes_back_byte_for_byte(relay, upstream):
    upstream.script(Fault.raw('{"odd":  1}', "application/json"))

    answer = await relay.plain(PLAIN)

    assert answer == b'{"odd":  1}'
    assert upstream.calls[0].body == CALL
    assert upstream.calls[0].authorization == f"Bearer {KEY}"


async def test_a_stream_comes_as_it_is_sent(relay, upstream):
    upstream.script(Answer(text="one two", pieces=2, every_s=0.1))

    pieces = [piece async for piece in relay.stream(STREAM)]

    assert len(pieces) > 1
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")


async def test_the_connection_is_used_again(relay):
    for body in (PLAIN, STREAM, PLAIN):
        pieces = [piece async for piece in relay.stream(body)]
        assert pieces

    assert len(relay._session.connector._conns) == 1


async def test_closing_stops_the_upstream(relay, upstream):
    upstream.script(Answer(text="x" * 1000, pieces=1000, every_s=0.05))
    stream = relay.stream(STREAM)
    await anext(stream)

    await stream.aclose()

    call = await upstream.calls[0].over()
    assert call.client_left_after_s is not None
    assert call.pieces_sent < 10


FAULTS = {
    "429": (Fault.status(429, retry_after=7), UpstreamAway),
    "500": (Fault.status(500), UpstreamAway),
    "401": (Fault.status(401), UpstreamAway),
    "400": (Fault.status(400), AgentFault),
    "301": (Answer(status=301, headers=(("Location", "/v1/models"),), body=""), UpstreamAway),
    "204": (Answer(status=204, body=""), UpstreamAway),
    "hang": (Fault.hang(), UpstreamAway),
    "reset": (Fault.reset(), AgentFault),
    "stall": (Fault.stall(), UpstreamAway),
    "cut": (Fault.cut(), AgentFault),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["plain", "stream"])
async def test_a_fault_has_its_name(relay, upstream, name, body):
    script, kind = FAULTS[name]
    upstream.script(script)

    with pytest.raises(AgentFault) as found:
        [piece async for piece in relay.stream(body)]

    assert type(found.value) is kind
    assert KEY not in found.value.reason
    assert len(upstream.calls) == 1


@pytest.mark.parametrize(
    ("told", "seconds"), [("7", 7), ("99999", 3600), ("soon", None), ("-1", None), ("", None)]
)
async def test_the_upstreams_own_word_when_to_come_back_is_carried(relay, upstream, told, seconds):
    upstream.script(Answer(status=503, headers=(("Retry-After", told),), body=""))

    with pytest.raises(UpstreamAway) as found:
        await relay.plain(PLAIN)

    assert found.value.retry_after_s == seconds


async def test_an_upstream_that_is_away_is_said_to_be(relay, upstream):
    await upstream.stop()

    with pytest.raises(UpstreamAway):
        await relay.plain(PLAIN)


async def test_the_offline_relay_answers_as_an_upstream_would():
    clock = StoppedClock()
    offline = OfflineRelay(OfflineAgent(clock), clock)

    whole = orjson.loads(await offline.plain(PLAIN))
    stream = b"".join([piece async for piece in offline.stream(STREAM)])

    assert whole["choices"][0]["message"]["content"] == "a, b"
    events = stream.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    last = orjson.loads(events[-3].removeprefix("data: "))
    assert last["usage"] == whole["usage"] == _usage(3, 1)


def _usage(asked: int, made: int) -> dict[str, int]:
    return {"prompt_tokens": asked, "completion_tokens": made, "total_tokens": asked + made}
