import gc
import string
import time
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.agents.offline import OfflineAgent
from core.agents.port import Agent, Delta, Message, Model, Usage
from core.values.pricing import Prices, estimated_tokens
from tests.agents.stopped_clock import StoppedClock

MODEL = Model(
    id="offline",
    upstream_id="",
    prices=Prices(1_000, 4_000),
    max_output_tokens=4_096,
    context_tokens=32_768,
)


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def agent(clock: StoppedClock) -> Agent:
    return OfflineAgent(clock)


async def worked(
    agent: Agent, request: str, *, max_output_tokens: int = 4_096
) -> tuple[str, Usage]:
    """The whole answer and the usage that closes it."""
    pieces = [
        piece
        async for piece in agent.stream(
            MODEL, [Message("user", request)], max_output_tokens=max_output_tokens
        )
    ]
    *deltas, usage = pieces
    assert isinstance(usage, Usage)
    assert all(isinstance(delta, Delta) for delta in deltas)
    return "".join(delta.text for delta in deltas if isinstance(delta, Delta)), usage


async def test_it_sorts_names_as_people_do(agent: Agent) -> None:
    verdict = await agent.evaluate(MODEL, "Sort these names: Bob, alice, Carol")
    answer, usage = await worked(agent, "Sort these names: Bob, alice, Carol")

    assert verdict.decision == "accept"
    assert answer == "alice, Bob, Carol"
    assert verdict.estimated_output_tokens == usage.output_tokens == 5


async def test_it_says_that_it_is_no_language_model(agent: Agent) -> None:
    answer, _ = await worked(agent, "Who are you?")
    verdict = await agent.evaluate(MODEL, "Write a poem about the sea.")

    assert "not a language model" in answer
    assert verdict.decision == "reject"
    assert "cannot invent" in verdict.reason
    assert "not a language model" in verdict.summary


async def test_what_it_rejects_it_answers_with_the_reason(agent: Agent) -> None:
    verdict = await agent.evaluate(MODEL, "Translate this: hello")

    answer, _ = await worked(agent, "Translate this: hello")

    assert answer == verdict.reason


async def test_an_answer_that_would_be_cut_is_rejected(agent: Agent) -> None:
    small = Model("small", "", Prices(1, 1), max_output_tokens=10, context_tokens=100)

    verdict = await agent.evaluate(small, "uppercase: " + "a" * 41)

    assert verdict.decision == "reject"
    assert "11 tokens" in verdict.reason


async def test_the_output_limit_cuts_between_characters(agent: Agent) -> None:
    answer, usage = await worked(agent, "uppercase: äöüäöüäöü", max_output_tokens=1)

    assert answer == "ÄÖ"
    assert usage.output_tokens == 1


async def test_usage_counts_every_message_but_only_the_last_question_is_worked(
    agent: Agent,
) -> None:
    messages = [
        Message("system", "s" * 8),
        Message("user", "hash x"),
        Message("assistant", "a" * 8),
        Message("user", "2+2 "),
    ]

    pieces = [piece async for piece in agent.stream(MODEL, messages, max_output_tokens=100)]

    assert pieces == [Delta("2+2 = 4"), Usage(2 + 2 + 2 + 1, 2)]


async def test_without_a_question_it_says_what_it_is(agent: Agent) -> None:
    pieces = [piece async for piece in agent.stream(MODEL, [], max_output_tokens=100)]

    assert isinstance(pieces[0], Delta)
    assert "offline text tools" in pieces[0].text


async def test_a_long_answer_comes_in_pieces(agent: Agent) -> None:
    request = "uppercase: " + "lightning " * 200

    pieces = [
        piece
        async for piece in agent.stream(MODEL, [Message("user", request)], max_output_tokens=4_096)
    ]

    assert len(pieces) > 3


async def test_it_is_always_ready(agent: Agent) -> None:
    assert await agent.ready()
    await agent.aclose()


async def test_the_clock_is_read_only_for_today(agent: Agent, clock: StoppedClock) -> None:
    await agent.evaluate(MODEL, "How many days are between 2026-01-01 and 2026-12-24?")
    assert clock.reads == 0

    answer, _ = await worked(agent, "What date is it today?")

    assert answer == "2026-12-24 is a Thursday, in week 52 of 2026."
    assert clock.reads > 0


OPENINGS = [
    "calculate ",
    "what is ",
    "sort ",
    "sort: ",
    "convert ",
    "how many ",
    "count ",
    "format this JSON: ",
    "CSV to JSON\n",
    "TOML to JSON\n",
    "JSON to CSV: ",
    "base64 decode ",
    "hex decode ",
    "url decode ",
    "days until ",
    "summarise: ",
    "2024-01-31 plus ",
    "extract numbers: ",
    "diff\n",
    'replace "a" with "b" in: ',
    "title case ",
    "unix time ",
]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(st.characters(), max_size=300),
        st.text(string.printable, max_size=300),
        st.builds(
            "{}{}{}".format,
            st.sampled_from(OPENINGS),
            st.text(st.characters(), max_size=40),
            st.text("0123456789.,+-*/^()!%eE\"'{}[]:= \n", max_size=80),
        ),
    )
)
@example("calculate " + "9" * 5000)
@example('format json: {"a": "\\ud800\\u0000"}')
@example("base64 decode: AAAA")
@example("sort:\x00")
@example("\ud800")
async def test_any_text_gets_a_verdict_that_its_answer_keeps(request_text: str) -> None:
    agent = OfflineAgent(StoppedClock())

    verdict = await agent.evaluate(MODEL, request_text)
    answer, usage = await worked(agent, request_text)

    assert answer.strip()
    assert answer.isprintable() or "\x00" not in answer
    assert usage.output_tokens == estimated_tokens(answer)
    if verdict.decision == "accept":
        assert verdict.estimated_output_tokens == usage.output_tokens
    else:
        assert verdict.reason


SLOW_SHAPES = [
    "",
    "calculate ",
    "what is ",
    "sort ",
    "sort\n",
    "dedupe\n",
    "count words: ",
    "how many words in ",
    "summarise ",
    "summarise\n",
    "uppercase ",
    "title case ",
    "snake case ",
    "extract emails: ",
    "extract urls: ",
    "extract numbers: ",
    "extract dates: ",
    "format json ",
    "json to csv ",
    "csv to json\n",
    "toml to json\n",
    "toml to json\na = ",
    "base64 decode ",
    "hex decode ",
    "url decode ",
    "html decode ",
    "days until ",
    "diff\n",
    'replace "a" with "b" in: ',
    "trim whitespace: ",
    "sha256 ",
    "reverse ",
    "word frequency: ",
    'how often does "a" occur in: ',
]
SLOW_MATERIALS = [
    "a",
    "a ",
    "a\n",
    "1",
    "1 ",
    "1,",
    "1.",
    "1,1",
    "9*",
    "9^",
    "9!",
    "(",
    "-",
    "((1)+",
    "[",
    "{",
    '{"a":',
    "[[],",
    "[1,",
    "a.",
    "a.a=1\n",
    "a@",
    "a@a.",
    "http://",
    "'",
    '"',
    "'a",
    "\u201e",
    "\u201ca",
    "```\n",
    ":",
    ": ",
    ".",
    "!",
    ". ",
    "\n\n",
    "\n---\n",
    " ",
    "%",
    "%a",
    "&amp;",
    "&",
    "\\",
    "\u00e4",
    "\u202e",
    "0.1+",
    "sqrt",
    "x",
    "Aa",
    "_",
    "a,b\n",
    "and ",
    "the ",
    "please ",
    "bitte ",
    "1.1.2024 ",
    "#",
    "\t",
    "|",
    "a;",
]


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Without the garbage collector, which looks through what all tests before have left behind."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("shape", SLOW_SHAPES)
async def test_no_text_of_the_longest_size_takes_long(agent: Agent, shape: str) -> None:
    for material in SLOW_MATERIALS:
        request = (shape + material * 16_000)[:16_000]
        started = time.process_time()

        await agent.evaluate(MODEL, request)

        assert time.process_time() - started < 0.25, (shape, material)
