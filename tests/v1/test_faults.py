"""Every way in which an upstream disappoints, whole and streamed: what it costs, what is told."""

from dataclasses import replace

import pytest

from tests.simulator.model import Answer, Fault
from tests.v1.market import ASKED, INPUT, OUTPUT, events, hold_of, text_of, tokens

TEXT = "one two three"

# The upstream's answer; what is told whole; what is told in a stream, None where it breaks.
FAILURES = {
    "429": (Fault.status(429, retry_after=7), "model_unavailable", "model_unavailable"),
    "500": (Fault.status(500), "model_unavailable", "model_unavailable"),
    "400": (Fault.status(400), "model_failed", "model_failed"),
    "401": (Fault.status(401), "model_unavailable", "model_unavailable"),
    "302": (
        Answer(status=302, headers=(("Location", "http://127.0.0.1:9/"),), body="elsewhere"),
        "model_unavailable",
        "model_unavailable",
    ),
    "no first byte": (Fault.hang(), "model_unavailable", "model_unavailable"),
    "cut before the first byte": (Fault.reset(), "model_failed", "model_failed"),
    "stall": (Fault.stall(), "model_unavailable", None),
    "cut": (Fault.cut(), "model_failed", None),
    "malformed": (replace(Fault.malformed(after=2), every_s=0.05), "model_failed", None),
    "malformed at once": (Fault.malformed(after=0), "model_failed", "model_failed"),
    "error in a 200": (
        replace(Fault.error_event(after=2), every_s=0.05),
        "model_failed",
        None,
    ),
    "error first in a 200": (Fault.error_event(after=0), "model_failed", "model_failed"),
    "HTML": (Fault.html(), "model_failed", "model_failed"),
    "HTML from a proxy": (Fault.html(502), "model_unavailable", "model_unavailable"),
    "nothing": (Fault.raw(""), "model_failed", "model_failed"),
    "a list": (Fault.raw("[1]", "application/json"), "model_failed", "model_failed"),
    "no end of the stream": (
        Fault.raw('data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n'),
        "model_failed",
        None,
    ),
}

ASKED_TOKENS, MADE_TOKENS = tokens(ASKED), tokens(TEXT)
MEASURED = ASKED_TOKENS * INPUT + MADE_TOKENS * OUTPUT

# The upstream's answer; what it costs (None: the whole hold).
SUCCESSES = {
    "good": (Answer(text=TEXT), MEASURED),
    "reported": (Answer(text=TEXT, usage=(20, 30)), 20 * INPUT + 30 * OUTPUT),
    "no usage": (Answer(text=TEXT, usage=None), MEASURED),
    "negative usage": (Answer(text=TEXT, usage=(-5, -7)), MEASURED),
    "usage in words": (Answer(text=TEXT, usage=("many", True)), MEASURED),
    "absurd usage": (Answer(text=TEXT, usage=(10**30, 2**53)), MEASURED),
    "half a usage": (Answer(text=TEXT, usage=(20, None)), 20 * INPUT + MADE_TOKENS * OUTPUT),
    "huge usage": (Answer(text=TEXT, usage=(10**9, 10**9)), None),
    "no [DONE]": (Answer(text=TEXT, with_done=False), MEASURED),
    "cut by length": (Answer(text=TEXT, finish="length"), MEASURED),
    "content filter": (Answer(text=TEXT, finish="content_filter"), MEASURED),
    "empty choices": (
        Answer(text=TEXT, with_choices=False, usage=(20, 0)),
        20 * INPUT,
    ),
    "empty text": (Answer(text="", usage=(20, 0)), 20 * INPUT),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_a_failed_upstream_costs_nothing_and_is_told(market, name, is_stream):
    script, whole, streamed = FAILURES[name]
    token = await market.session()
    market.upstream.script(script)

    answer = await market.ask(token, stream=is_stream)

    expected = streamed if is_stream else whole
    if expected is None:
        assert answer.status == 200
        assert events(answer)[-1]["choices"][0]["finish_reason"] == "error"
        assert events(answer)[-1]["error"]["code"] in {"model_failed", "model_unavailable"}
    else:
        assert answer.code == expected
        assert answer.status == {"model_failed": 502, "model_unavailable": 503}[expected]
        assert ("Retry-After" in answer.headers) == (expected == "model_unavailable")
    account = await market.at_rest(token)
    assert account["balanceMsat"] == 1_000_000
    assert len(market.upstream.calls) == 1


@pytest.mark.parametrize("name", SUCCESSES)
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_what_has_ended_is_charged_by_the_rule(market, name, is_stream):
    script, cost = SUCCESSES[name]
    token = await market.session()
    market.upstream.script(script)

    fields = {"stream": is_stream, "stream_options": {"include_usage": True}}
    answer = await market.ask(token, **fields)

    assert answer.status == 200, answer.body
    account = await market.at_rest(token)
    hold = hold_of(**fields)
    assert account["spentMsat"] == (hold if cost is None else cost) <= hold
    usage = events(answer)[-2]["usage"] if is_stream else answer.json["usage"]
    assert usage["cost_msat"] == account["spentMsat"]
    assert usage["balance_msat"] == account["balanceMsat"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    if script.with_choices:
        assert text_of(answer) == script.text


async def test_the_upstream_says_when_to_come_back(market):
    token = await market.session()
    market.upstream.script(Fault.status(429, retry_after=7))

    answer = await market.ask(token)

    assert answer.headers["Retry-After"] == "7"


async def test_an_upstream_that_is_away_costs_nothing(market):
    token = await market.session()
    await market.upstream.stop()

    answers = [await market.ask(token), await market.ask(token, stream=True)]

    assert [answer.code for answer in answers] == ["model_unavailable"] * 2
    assert (await market.at_rest(token))["spentMsat"] == 0


async def test_a_very_long_event_passes_whole(market):
    token = await market.session()
    text = "0123456789abcdef" * 65_536  # a megabyte
    market.upstream.script(Answer(text=text, pieces=1, usage=(7, 90)))

    answer = await market.ask(token, stream=True)

    assert text_of(answer) == text
    assert (await market.at_rest(token))["spentMsat"] == 7 * INPUT + 90 * OUTPUT
