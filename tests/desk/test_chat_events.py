"""A stream's events as they pass: what goes on, what is kept back, what was made, how it ends."""

import orjson
import pytest

from core.agents.port import AgentFault, Usage
from core.desk.chat_events import (
    DONE,
    EVENT_BYTES_MAX,
    EventReader,
    made_bytes,
    read_completion,
    usage_in,
)


def event(**fields) -> bytes:
    return b"data: " + orjson.dumps({"id": "c1", "created": 7, "model": "m", **fields}) + b"\n\n"


def said(text: str, finish: str | None = None, **more) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": finish}
    return event(choices=[choice], **more)


USAGE = event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 6})


def test_whole_events_go_on_as_they_came():
    reader = EventReader()
    odd = b'data:   {"choices":[ ]}\n\n'

    assert reader.feed(said("a") + odd + b": a comment\n\n" + said("b")) == (
        said("a") + odd + b": a comment\n\n" + said("b")
    )
    assert reader.made_bytes == 2
    assert not reader.has_ended


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_cuts_between_reads_change_nothing(size):
    stream = said("häß") + said("", "stop") + USAGE + DONE
    reader = EventReader()

    passed = b"".join(reader.feed(stream[at : at + size]) for at in range(0, len(stream), size))

    assert passed == said("häß") + said("", "stop")
    assert reader.is_done
    assert reader.usage == Usage(5, 6)
    assert reader.made_bytes == 5


def test_lines_may_end_as_on_windows():
    reader = EventReader()
    stream = (said("a") + DONE).replace(b"\n", b"\r\n")

    passed = b"".join(reader.feed(stream[at : at + 1]) for at in range(len(stream)))

    assert passed == said("a")
    assert reader.is_done


def test_an_event_may_have_several_lines():
    reader = EventReader()
    odd = b'event: x\nid: 1\ndata: {"choices":\ndata: []}\n\n'

    assert reader.feed(odd + b"data:[DONE]\n\n") == odd
    assert reader.is_done


def test_usage_beside_a_text_is_taken_out_of_it():
    reader = EventReader()

    passed = reader.feed(said("a", usage={"prompt_tokens": 1, "completion_tokens": 2}))

    assert passed == said("a")
    assert reader.usage == Usage(1, 2)


def test_what_follows_the_end_is_not_passed_on():
    reader = EventReader()

    assert reader.feed(said("a") + DONE + said("b")) == said("a")
    assert reader.made_bytes == 1


def test_a_finish_ends_a_stream_as_well_as_its_mark():
    reader = EventReader()
    reader.feed(said("a", "stop"))

    assert reader.has_ended
    assert not reader.is_done


def test_calls_of_tools_and_reasoning_count_as_made():
    reader = EventReader()
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}

    reader.feed(event(choices=[{"delta": {"tool_calls": [call], "reasoning": "hm"}}]))

    assert reader.made_bytes == 1 + 2 + 2


@pytest.mark.parametrize(
    "bad",
    [
        b"data: {\n\n",
        b"data: 5\n\n",
        b"<html>\n\n",
        event(error={"message": "x"}),
        said("", "error"),
    ],
)
def test_what_is_no_event_is_a_fault(bad):
    with pytest.raises(AgentFault):
        EventReader().feed(bad)


def test_an_event_without_end_is_a_fault():
    with pytest.raises(AgentFault):
        EventReader().feed(b"x" * (EVENT_BYTES_MAX + 1))


def test_halves_of_surrogate_pairs_pass():
    reader = EventReader()
    half = b'data: {"choices": [{"delta": {"content": "\\ud83d"}}], "usage": {}}\n\n'

    assert b"\\ud83d" in reader.feed(half)


def test_the_end_carries_the_names_of_the_stream():
    reader = EventReader()
    reader.feed(said("a"))

    usage, done = reader.closing({"cost_msat": 1}).split(b"\n\n", 1)
    error = orjson.loads(reader.error("model_failed", "It failed.")[6:])

    assert orjson.loads(usage[6:]) == {
        "object": "chat.completion.chunk",
        "id": "c1",
        "created": 7,
        "model": "m",
        "choices": [],
        "usage": {"cost_msat": 1},
    }
    assert done == DONE
    assert reader.closing(None) == DONE
    assert error["error"] == {"code": "model_failed", "message": "It failed."}
    assert error["choices"][0]["finish_reason"] == "error"


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 0}, Usage(1, 0)),
        ({"prompt_tokens": -1, "completion_tokens": 2**53}, Usage(None, None)),
        ({"prompt_tokens": True, "completion_tokens": "5"}, Usage(None, None)),
        ({"prompt_tokens": 1.5}, Usage(None, None)),
        ("much", Usage(None, None)),
        (None, Usage(None, None)),
    ],
)
def test_absurd_counts_count_as_missing(told, usage):
    assert usage_in(told) == usage


def test_a_whole_answer_has_choices():
    answer = b'{"choices": [{"message": {"role": "assistant", "content": "abc"}}, 7]}'

    assert made_bytes(read_completion(answer)) == 3
    with pytest.raises(AgentFault):
        read_completion(b'{"choices": 5}')
