"""A chat request: which model, how large, and what the upstream gets of it."""

import orjson
import pytest

from core.agents.port import Model
from core.desk.chat_request import read_chat_request
from core.values.errors import InvalidRequest, NotFound
from core.values.pricing import Prices

MODEL = Model("sold", "upstream-name", Prices(1, 2), max_output_tokens=100, context_tokens=10)


def read(**fields):
    messages = [{"role": "user", "content": "hello"}]
    given = {"model": "sold", "messages": messages, **fields}
    return read_chat_request(given, {"sold": MODEL}, body_bytes=77)


def test_its_size_is_that_of_its_body_and_its_limit_that_of_the_client():
    request = read(max_tokens=30, n=3)

    assert request.ask.body_bytes == 77
    assert request.ask.choices == 3
    assert request.ask.wanted == 30
    assert request.ask.prices == MODEL.prices
    assert request.text_bytes == 5


@pytest.mark.parametrize(
    ("limits", "wanted", "names"),
    [
        ({}, 100, ["max_tokens"]),
        ({"max_tokens": 30}, 30, ["max_tokens"]),
        ({"max_tokens": None, "max_completion_tokens": 30}, 30, ["max_completion_tokens"]),
        (
            {"max_tokens": 40, "max_completion_tokens": 30},
            30,
            ["max_tokens", "max_completion_tokens"],
        ),
        ({"max_completion_tokens": 1_000}, 100, ["max_completion_tokens"]),
    ],
)
def test_the_smaller_limit_counts_and_stands_under_the_clients_names(limits, wanted, names):
    request = read(**limits)

    sent = orjson.loads(request.upstream_body(7))

    assert request.wanted == wanted
    assert [name for name in sent if name.startswith("max_")] == names
    assert {sent[name] for name in names} == {7}


def test_only_named_fields_go_to_the_model_by_its_own_name():
    sent = orjson.loads(read(temperature=1.5, service_tier="priority", seed=None).upstream_body(9))

    assert sent == {
        "model": "upstream-name",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 1.5,
        "max_tokens": 9,
    }


def test_a_stream_asks_for_its_usage_whether_the_client_does_or_not():
    quiet = read(stream=True)
    curious = read(stream=True, stream_options={"include_usage": True})

    for request in (quiet, curious):
        assert orjson.loads(request.upstream_body(9))["stream_options"] == {"include_usage": True}
    assert not quiet.wants_usage
    assert curious.wants_usage


def test_all_texts_of_the_messages_count():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    request = read(
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "äö"}]},
            {"role": "assistant", "content": None, "refusal": "no", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "12345"},
        ]
    )

    assert request.text_bytes == 4 + 2 + 1 + 2 + 5


def test_forty_bytes_fit_into_ten_tokens_and_one_more_does_not():
    read(messages=[{"role": "user", "content": "x" * 40}])

    with pytest.raises(InvalidRequest) as found:
        read(messages=[{"role": "user", "content": "x" * 41}])

    assert found.value.pointer == "/messages"


def test_another_model_is_not_found():
    with pytest.raises(NotFound):
        read(model="upstream-name")


def test_a_message_of_somebody_else_than_the_model_says_something():
    read(messages=[{"role": "assistant"}, {"role": "user", "content": ""}])

    with pytest.raises(InvalidRequest) as found:
        read(messages=[{"role": "user", "content": "x"}, {"role": "user", "content": None}])

    assert found.value.pointer == "/messages/1/content"
