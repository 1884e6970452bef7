"""Work through the openai adapter: each way an upstream can disappoint is a row."""

import asyncio
import gc
import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.agents.openai_sdk import OpenAIAgent
from core.agents.port import AgentFault, Usage
from tests.agents.asking import ASK, KEY, MODEL, agent_for, worked
from tests.simulator.model import Answer, Fault, Settings, SimulatedModel


async def test_a_work_call_carries_the_messages_and_the_limits(
    openai_agent: OpenAIAgent, upstream: SimulatedModel
) -> None:
    upstream.script(Answer("alpha beta", usage=(7, 3)))

    text, usages, fault = await worked(openai_agent)

    assert (text, usages, fault) == ("alpha beta", [Usage(7, 3)], None)
    assert upstream.calls[0].authorization == f"Bearer {KEY}"
    assert upstream.calls[0].body == {
        "model": "simulated-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Sort: b, a"},
            {"role": "assistant", "content": "?"},
        ],
        "max_tokens": 1_024,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("answer", "text", "usage"),
    [
        (Answer("abc", usage=None), "abc", Usage(None, None)),
        (Answer("abc", usage=(0, 0)), "abc", Usage(0, 0)),
        (Answer("abc", usage=(-1, 5)), "abc", Usage(None, 5)),
        (Answer("abc", usage=(5, 2**53)), "abc", Usage(5, None)),
        (Answer("abc", usage=(5, 2**53 - 1)), "abc", Usage(5, 2**53 - 1)),
        (Answer("abc", usage=(1.5, "7")), "abc", Usage(None, None)),
        (Answer("abc", usage=(True, None)), "abc", Usage(None, None)),
        (Answer("abc", usage=(10**400, "x")), "abc", Usage(None, None)),
        (Answer("abc", usage=(1, 2), with_done=False), "abc", Usage(1, 2)),
        (Answer("abc", usage=(1, 2), finish="length"), "abc", Usage(1, 2)),
        (Answer("abc", usage=(1, 2), finish="content_filter"), "abc", Usage(1, 2)),
        (Answer("", usage=(1, 0)), "", Usage(1, 0)),
        (Answer("abc", usage=(1, 2), every_s=0.05, keep_alive_s=0.01), "abc", Usage(1, 2)),
        (Answer("a\x00b\ud800", usage=(1, 2), pieces=1), "a\ufffdb\ufffd", Usage(1, 2)),
        (Answer("x" * 5_000_000, usage=(1, 2), pieces=1), "x" * 5_000_000, Usage(1, 2)),
        (Answer("one two", usage=(1, 2), pieces=7, every_s=0.01), "one two", Usage(1, 2)),
    ],
)
async def test_an_answer_ends_with_exactly_one_usage(
    openai_agent: OpenAIAgent, upstream: SimulatedModel, answer: Answer, text: str, usage: Usage
) -> None:
    upstream.script(answer)

    assert await worked(openai_agent, max_output_tokens=100_000) == (text, [usage], None)


PIECES = "one two three"
FAULTS = [
    (Fault.status(429, retry_after=7), "", True, "429"),
    (Fault.status(500), "", True, "500"),
    (Fault.status(503, retry_after=1), "", True, "503"),
    (Fault.status(408), "", True, "408"),
    (Fault.status(400), "", False, "400"),
    (Fault.status(400, code="context_length_exceeded"), "", False, "400 context_length_exceeded"),
    (Fault.status(401, code=KEY), "", False, "the upstream answered 401"),
    (Fault.status(402), "", False, "402"),
    (Fault.status(403), "", False, "403"),
    (Fault.status(404), "", False, "404"),
    (Answer(status=302, headers=(("Location", "/elsewhere"),), body=""), "", False, "302"),
    (Fault.reset(), "", True, "the connection"),
    (Fault.cut(after=1), "one t", True, "the connection"),
    (Fault.cut(after=2), "one two th", True, "the connection"),
    (Fault.malformed(after=1), "Done ", True, "unreadable"),
    (Fault.malformed(after=0), "", True, "unreadable"),
    (Fault.error_event(after=1), "Done ", True, "error in its answer"),
    (Fault.error_event(after=0), "", True, "error in its answer"),
    (Fault.html(200), "", True, "without a finish"),
    (Fault.html(502), "", True, "502"),
    (Answer(with_choices=False), "", True, "without a finish"),
    (Answer("abc", finish=None), "abc", True, "without a finish"),
    (Answer("abc", finish="error"), "abc", True, "without a finish"),
    (Fault.raw(""), "", True, "without a finish"),
    (Fault.raw("data: [DONE]\n\n"), "", True, "without a finish"),
    (Fault.raw("data: " + "[" * 50_000 + "\n\n"), "", True, "unreadable"),
    (Fault.raw("data: \xff\xfe\n\n"), "", True, "unreadable"),
    (Fault.raw('{"error": {"message": "no"}}', "application/json"), "", True, "without a finish"),
]


@pytest.mark.parametrize("row", FAULTS)
async def test_a_fault_says_whether_another_attempt_may_help(
    openai_agent: OpenAIAgent, upstream: SimulatedModel, row: tuple[Answer, str, bool, str]
) -> None:
    answer, text, retry, reason = row
    upstream.script(answer)

    seen, usages, fault = await worked(openai_agent)

    assert fault is not None
    assert seen == text
    assert usages == []
    assert fault.retry == retry
    assert reason in fault.reason
    assert KEY not in fault.reason
    assert len(upstream.calls) == 1


@pytest.mark.parametrize("answer", [Fault.hang(), Fault.stall(after=1), Fault.stall(after=2)])
async def test_silence_ends_at_the_time_limit_and_stops_the_upstream(
    hasty_agent: OpenAIAgent, upstream: SimulatedModel, answer: Answer
) -> None:
    upstream.script(answer)

    _, _, fault = await worked(hasty_agent)
    call = await upstream.calls[0].over()

    assert fault is not None
    assert fault.retry
    assert "in time" in fault.reason
    assert call.client_left_after_s is not None


async def test_a_slow_stream_may_last_longer_than_the_time_limit(
    hasty_agent: OpenAIAgent, upstream: SimulatedModel
) -> None:
    upstream.script(Answer("abcdefgh", pieces=8, every_s=0.05, usage=(1, 2)))

    assert await worked(hasty_agent) == ("abcdefgh", [Usage(1, 2)], None)


async def test_comments_do_not_hold_the_time_limit_off(
    hasty_agent: OpenAIAgent, upstream: SimulatedModel
) -> None:
    upstream.script(Answer("abc", keep_alive_s=0.02, stop="hang", stop_after=1))

    text, _, fault = await worked(hasty_agent)

    assert text == "a"
    assert fault is not None
    assert "in time" in fault.reason


async def test_a_refused_connection_is_a_fault_that_may_pass(
    openai_agent: OpenAIAgent, upstream: SimulatedModel
) -> None:
    await upstream.stop()

    _, _, fault = await worked(openai_agent)

    assert fault is not None
    assert fault.retry
    await upstream.start()
    assert (await worked(openai_agent))[2] is None


async def test_an_upstream_that_does_not_stop_is_stopped(
    openai_agent: OpenAIAgent, upstream: SimulatedModel
) -> None:
    upstream.script(Answer("x" * 100_000, pieces=1_000, every_s=0.001))

    text, _, fault = await worked(openai_agent, max_output_tokens=10)
    call = await upstream.calls[0].over()

    assert fault is not None
    assert not fault.retry
    assert len(text) < 1_000
    assert call.client_left_after_s is not None


async def test_closing_the_iterator_stops_the_upstream(
    openai_agent: OpenAIAgent, upstream: SimulatedModel
) -> None:
    upstream.script(Answer("x" * 1_000, pieces=1_000, every_s=0.01))
    stream = openai_agent.stream(MODEL, ASK, max_output_tokens=1_024)

    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    call = await upstream.calls[0].over(within_s=2)

    assert call.client_left_after_s is not None
    gc.collect()


async def test_a_cancelled_reader_stops_the_upstream(
    openai_agent: OpenAIAgent, upstream: SimulatedModel
) -> None:
    upstream.script(Fault.stall(after=1))
    reader = asyncio.create_task(worked(openai_agent))
    await (await upstream.called(1)).sent(1)

    reader.cancel()
    call = await upstream.calls[0].over(within_s=2)

    assert call.client_left_after_s is not None
    with pytest.raises(asyncio.CancelledError):
        await reader


async def test_an_upstream_that_wants_another_name_for_the_limit_gets_it_from_then_on(
    openai_agent: OpenAIAgent, upstream: SimulatedModel
) -> None:
    upstream.settings.wants_max_completion_tokens = True

    first, second = await worked(openai_agent), await worked(openai_agent)
    judged = await openai_agent.evaluate(MODEL, "Sort: b, a")

    assert first[2] is second[2] is None
    assert judged.decision == "accept"
    names = [{"max_tokens", "max_completion_tokens"} & call.body.keys() for call in upstream.calls]
    assert names == [{"max_tokens"}, *[{"max_completion_tokens"}] * 3]


async def test_calls_that_meet_the_refusal_together_all_succeed(
    openai_agent: OpenAIAgent, upstream: SimulatedModel
) -> None:
    upstream.settings.wants_max_completion_tokens = True

    answers = await asyncio.gather(*(worked(openai_agent) for _ in range(5)))

    assert [fault for _, _, fault in answers] == [None] * 5


async def test_ready_asks_for_the_models_only(
    openai_agent: OpenAIAgent, upstream: SimulatedModel
) -> None:
    assert await openai_agent.ready()

    await upstream.stop()

    assert not await openai_agent.ready()
    assert upstream.calls == []


async def test_a_wrong_key_is_not_ready_and_stays_out_of_reasons_and_logs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with SimulatedModel(Settings(api_key="another")) as upstream:
        agent = agent_for(upstream, timeout_s=5)

        assert not await agent.ready()
        with pytest.raises(AgentFault) as fault:
            await agent.evaluate(MODEL, "a secret request")

        assert fault.value.reason == "the upstream answered 401 invalid_api_key"
        assert not fault.value.retry
        assert fault.value.__cause__ is None
        assert KEY not in caplog.text
        assert "a secret request" not in caplog.text
        await agent.aclose()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "delta", "content", "usage", "prompt_tokens", "finish_reason", "index",
             "error", "id", "message", "completion_tokens", "tool_calls"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=JSON)
async def test_events_of_any_shape_end_in_usage_or_a_fault(
    openai_agent: OpenAIAgent, upstream: SimulatedModel, value: object
) -> None:
    event = json.dumps(value)
    upstream.script(Fault.raw(f"data: {event}\n\ndata: [DONE]\n\n"))
    upstream.judge(Fault.raw(event, "application/json"))

    _, usages, fault = await worked(openai_agent)

    assert (fault is None) == (len(usages) == 1)
    with pytest.raises(AgentFault):
        await openai_agent.evaluate(MODEL, "x")
