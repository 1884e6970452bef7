"""What a model writes as it looks in a chat: whole, within the limits, and never as ours."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.markup import QUOTED, plain, render
from bots.styled import SPANS_MAX, TEXT_MAX, Span, Styled, split, units


def styles(markdown: str) -> set[tuple[str, str]]:
    styled = render(markdown)
    return {(span.kind, styled.text[span.start : span.end]) for span in styled.spans}


def signs(text: str) -> str:
    """What nobody may swallow."""
    return "".join(sign for sign in text if sign.isalnum() or sign > "\u2fff")


@pytest.mark.parametrize(
    ("markdown", "style"),
    [
        ("a **b c** d", ("bold", "b c")),
        ("a *b* c", ("italic", "b")),
        ("a ~~b~~ c", ("strikethrough", "b")),
        ("👍🏽 `a<b>` c", ("code", "a<b>")),
        ("# Title\ntext", ("bold", "Title")),
        ("> said\n> so\n\nme", ("blockquote", "said\nso")),
        ("```py\nif a < b:\n    c()\n```", ("pre", "if a < b:\n    c()")),
    ],
)
def test_markdown_becomes_formatting(markdown: str, style: tuple[str, str]) -> None:
    assert style in styles(markdown)


def test_a_block_of_code_keeps_its_language() -> None:
    assert render("```py\nx\n```").spans == (Span("pre", 0, 1, "py"),)


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "<div>all of it</div>",
            "a <b>x</b> &copy; &lt; $5 and $6",
            "a **b",
            "`a",
            "if x || y || z",
        ),
        *("about ~5 to ~6", "1. one\n1. again", "2019. a\n2024. b", "# \n#"),
        *("[1]: https://a.example/b\n\nsee [this][1]", "|a|b|\n|-|-|\n|1|2|3|"),
        *("> " * 5000, "*" * 30, "> - " * 3000),
    ],
)
def test_what_is_no_markup_or_would_be_swallowed_stays_as_it_was_typed(typed: str) -> None:
    assert render(typed).text.strip() == typed.strip()


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("[good](https://evil.example/a?b=1&c=2)!", "good (https://evil.example/a?b=1&c=2)!"),
        ("<https://a.example>", "<https://a.example>"),
        ("![cat](https://a.example/cat.png)", "cat (https://a.example/cat.png)"),
        ("[a](javascript:alert(1))", "a (javascript:alert(1))"),
        ("**[a](https://b.example)** c", "a (https://b.example) c"),
        ("[https://b.example](https://b.example)", "https://b.example"),
    ],
)
def test_a_link_is_shown_as_the_address_that_it_leads_to(markdown: str, shown: str) -> None:
    styled = render(markdown)

    assert styled.text == shown
    assert not any(span.kind == "text_link" for span in styled.spans)


@pytest.mark.parametrize(
    "line",
    [
        *("Paid 21 sat ✓", "**Bezahlt** 1.000 sat ✓  #7F3K", "#7F3K done · 421 sat"),
        *("12 sat · 988 left", "  *12 sats* · 3 left", "\u200bPaid ✔"),
    ],
)
def test_a_line_that_looks_like_ours_is_marked(line: str) -> None:
    styled = render(f"First.\n\n{line}\n\nLast.")

    lines = [line for line in styled.text.split("\n") if line]
    assert lines[1].startswith(QUOTED)
    assert not lines[0].startswith(QUOTED)
    assert not lines[2].startswith(QUOTED)
    assert plain(line).text.startswith(QUOTED)


def test_code_is_copied_as_it_stands() -> None:
    assert render("```\nPaid 21 sat ✓\n```").text == "Paid 21 sat ✓"


def test_controls_that_reorder_text_are_shown() -> None:
    assert render("a\0b\u202ec\u2066d\r\ne").text == "ab[U+202E]c[U+2066]d\ne"


def test_a_quotation_in_a_quotation_is_one() -> None:
    spans = [span for span in render("> a\n>> b").spans if span.kind == "blockquote"]

    assert [(span.start, span.end) for span in spans] == [(0, 3)]


LANGUAGE = re.compile(r"(`{3,}|~{3,})[^\s`,]*")  # it is beside the text, not in it
FRAGMENTS = st.sampled_from(
    [
        *("**", "*", "_", "`", "```", "```py\n", "~~", "~", "||", "|", "\n", "\n\n", "    ", "> "),
        *("- ", "1. ", "# ", "[", "](", ")", "<b>", "</b>", "<", "&amp;", "$", "\\", "---\n", "\t"),
        *(
            "https://a.example/x?y=1",
            "😀",
            "👩\u200d👩\u200d👧",
            "👍🏽",
            "e\u0301",
            "\0",
            "\u202e",
            "\u2066",
        ),
        *(
            "Paid 21 sat ✓",
            "#7F3K done",
            "|a|b|\n|-|-|\n",
            "- [x] ",
            "word ",
            "Ünïcode ",
            "x" * 300,
        ),
    ]
)
PIECES = FRAGMENTS | st.text(max_size=40)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=60).map("".join), st.integers(1, 40))
def test_results_arrive_whole_and_within_the_limits(piece: str, times: int) -> None:
    markdown = (piece * times)[:20_000]

    styled = render(markdown)
    parts = split(styled)

    shown = iter(styled.text)
    assert all(sign in shown for sign in signs(LANGUAGE.sub(r"\1", markdown)))
    assert "".join("".join(part.text for part in parts).split()) == "".join(styled.text.split())
    for part in parts:
        part.text.encode()  # no half of a surrogate pair
        assert 0 < units(part.text) <= TEXT_MAX
        assert len(part.spans) <= SPANS_MAX
        assert all(0 <= span.start < span.end <= len(part.text) for span in part.spans)


def test_a_text_is_cut_between_paragraphs() -> None:
    first, second = "a" * 2500, "b" * 2500

    parts = split(Styled(f"{first}\n\n{second}"))

    assert [part.text for part in parts] == [first, second]


def test_emoji_count_twice() -> None:
    parts = split(Styled("😀" * 5000))

    assert [part.units for part in parts] == [4096, 4096, 1808]


def test_what_is_seen_as_one_sign_is_not_cut() -> None:
    parts = split(Styled("a" + "👍🏽" * 3000))

    assert all(part.text.endswith("🏽") for part in parts)


def test_a_block_of_code_that_fits_is_not_cut() -> None:
    code = "\n\n".join(["line"] * 600)

    parts = split(render(f"{'word ' * 300}\n\n```py\n{code}\n```\n\nend"))

    assert [part.text for part in parts][1].startswith("line")
    assert [span for part in parts for span in part.spans] == [Span("pre", 0, len(code), "py")]


def test_a_long_block_of_code_is_closed_and_opened_again() -> None:
    code = "\n".join(f"    line {number}" for number in range(1000))

    parts = split(render(f"```py\n{code}\n```"))

    assert all(part.spans == (Span("pre", 0, len(part.text), "py"),) for part in parts)
    assert "\n".join(part.text for part in parts) == code


def test_no_part_has_more_than_a_hundred_formattings() -> None:
    parts = split(render("**a** b " * 350))

    assert [len(part.spans) for part in parts] == [100, 100, 100, 50]
