"""Which calls of Telegram a letter takes, for each thing that may stand in its slot already."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.channel import Shown
from bots.markup import QUOTED
from bots.qr import invoice_code
from bots.stamp import paid_stamp
from bots.styled import CAPTION_MAX, TEXT_MAX, Span, Styled, units
from bots.telegram_out import (
    Callback,
    Delete,
    EditCaption,
    EditPhoto,
    EditText,
    SendFile,
    SendPhoto,
    SendText,
    Step,
    plan_letter,
    qr_png,
)
from bots.telegram_presses import Seals
from core.values.mail import (
    Bill,
    Button,
    Content,
    Copy,
    Letter,
    Link,
    Note,
    Peer,
    Press,
    Result,
    Row,
)

ANNA = Peer("telegram", "7000", "42")
SEALS = Seals([b"k" * 32])
INVOICE = "lnbc210n1" + "q" * 280
TEXT = Shown(("5",), "text", "")
PHOTO = Shown(("5",), "photo", "")
PHOTO_AND_TEXT = Shown(("5", "6"), "photo+text", "")
PARTS = Shown(("5", "6"), "text", "")

NOTE = Note("Checking.")
PAID = Note("Paid 21 sat ✓", is_settled=True)
BILL = Bill("Check: 21 sat\n{invoice}\nValid for 15 min.", INVOICE, None)
LONG_BILL = Bill("Check: 21 sat\n{invoice}\n" + "more " * 200, INVOICE, None)
RESULT = Result("**Done**", "7F3K-result.md", foot="#7F3K done · 421 sat")
QR = qr_png(INVOICE)
CAPTION = Styled(
    f"Check: 21 sat\n{INVOICE}\nValid for 15 min.", (Span("code", 14, 14 + len(INVOICE)),)
)
LONG_NOTE = Note("word " * 300)


def plan(
    content: Content,
    shown: Shown | None = None,
    *,
    is_news: bool = False,
    reply_to: str | None = None,
) -> list[Step]:
    letter = Letter(peer=ANNA, content=content, slot="card", is_news=is_news, reply_to=reply_to)
    return list(plan_letter(letter, shown, seals=SEALS))


def shape(steps: list[Step]) -> list[str]:
    return [type(step).__name__ for step in steps]


@pytest.mark.parametrize(
    ("content", "shown", "calls"),
    [
        (NOTE, None, ["SendText"]),
        (NOTE, TEXT, ["EditText"]),
        (NOTE, PHOTO, ["EditCaption"]),
        (NOTE, PHOTO_AND_TEXT, ["EditText"]),
        (NOTE, PARTS, ["SendText", "Delete", "Delete"]),
        (PAID, None, ["SendText"]),
        (PAID, TEXT, ["EditText"]),
        (PAID, PHOTO, ["EditPhoto"]),
        (PAID, PHOTO_AND_TEXT, ["EditPhoto", "EditText"]),
        (LONG_NOTE, PHOTO, ["SendText", "Delete"]),
        (Note("word " * 1000), TEXT, ["SendText", "SendText", "Delete"]),
        (BILL, None, ["SendPhoto"]),
        (BILL, TEXT, ["SendPhoto", "Delete"]),
        (BILL, PHOTO, ["EditPhoto"]),
        (BILL, PHOTO_AND_TEXT, ["EditPhoto", "EditText"]),
        (LONG_BILL, None, ["SendPhoto", "SendText"]),
        (LONG_BILL, TEXT, ["SendPhoto", "SendText", "Delete"]),
        (LONG_BILL, PHOTO, ["SendPhoto", "SendText", "Delete"]),
        (LONG_BILL, PHOTO_AND_TEXT, ["EditPhoto", "EditText"]),
        (RESULT, None, ["SendText"]),
        (RESULT, TEXT, ["SendText", "Delete"]),
    ],
)
def test_what_stands_there_is_changed_where_telegram_can(
    content: Content, shown: Shown | None, calls: list[str]
) -> None:
    assert shape(plan(content, shown)) == calls


@pytest.mark.parametrize("shown", [TEXT, PHOTO, PHOTO_AND_TEXT])
@pytest.mark.parametrize("content", [NOTE, PAID, BILL, LONG_BILL, RESULT])
def test_news_are_new_messages(content: Content, shown: Shown) -> None:
    assert plan(content, shown, is_news=True) == plan(content)


def test_what_is_passing_is_left_unsaid_where_nothing_stands() -> None:
    letter = Letter(peer=ANNA, content=NOTE, slot="card", is_passing=True)

    assert plan_letter(letter, None, seals=SEALS) == []
    assert shape(list(plan_letter(letter, PHOTO, seals=SEALS))) == ["EditCaption"]


def test_a_bill_is_a_picture_of_its_invoice_with_the_invoice_to_copy_below() -> None:
    assert plan(BILL, reply_to="3") == [SendPhoto(png=QR, caption=CAPTION, reply_to=3)]


def test_the_picture_holds_the_invoice_in_upper_case_at_eight_pixels_a_module() -> None:
    width, height = struct.unpack_from(">II", QR, 16)

    side = invoice_code(INVOICE).symbol_size(scale=8, border=4)
    assert (width, height) == side


def test_a_bill_that_is_too_long_for_a_caption_is_a_picture_and_a_text() -> None:
    photo, text = plan(LONG_BILL, reply_to="3")

    assert photo == SendPhoto(
        png=QR, caption=Styled("Check: 21 sat"), reply_to=3, form="photo+text"
    )
    assert isinstance(text, SendText)
    assert text.form == "photo+text"
    assert text.content.text.split("\n")[1] == INVOICE


def test_a_paid_card_shows_a_stamp_in_place_of_the_code() -> None:
    caption = Styled("Paid 21 sat ✓")

    assert plan(PAID, PHOTO) == [EditPhoto(message_id=5, png=paid_stamp(), caption=caption)]
    assert plan(PAID, PHOTO_AND_TEXT) == [
        EditPhoto(message_id=5, png=paid_stamp(), caption=Styled("")),
        EditText(message_id=6, content=caption),
    ]


def test_a_card_that_is_not_paid_keeps_its_picture() -> None:
    assert plan(NOTE, PHOTO) == [EditCaption(message_id=5, caption=Styled("Checking."))]


def test_a_reason_cannot_reorder_the_line_that_it_stands_in() -> None:
    assert plan(Note("I cannot: a\u202eb")) == [SendText(content=Styled("I cannot: a[U+202E]b"))]


def test_what_is_replaced_goes_after_the_new_is_there() -> None:
    assert plan(BILL, TEXT)[-1] == Delete(5)


# Buttons


def keys_of(*rows: Row) -> list[list[object]]:
    (step,) = plan(Note("Choose.", rows))
    assert isinstance(step, SendText)
    return [list(row) for row in step.keys]


def test_a_button_is_sealed_for_the_one_who_gets_it() -> None:
    ((key,),) = keys_of((Button("Pay once", "once", "7F3K", 2),))

    assert isinstance(key, Callback)
    assert SEALS.open(key.sealed, bot_id="7000", uid="42") == Press("once", "7F3K", 2)


@pytest.mark.parametrize(
    ("url", "is_shown"),
    [
        ("https://pay.example/pay/abc", True),
        ("http://pay.example/pay/abc", False),
        ("https://localhost/pay", False),
        ("https://localhost./pay", False),
        ("lightning:lnbc1", False),
        ("tg://user?id=1", False),
        ("", False),
    ],
)
def test_a_link_is_a_button_only_where_telegram_takes_it(url: str, is_shown: bool) -> None:  # noqa: FBT001
    assert bool(keys_of((Link("Open", url),))) is is_shown


@pytest.mark.parametrize(("text", "is_shown"), [("", False), ("x" * 256, True), ("x" * 257, False)])
def test_a_text_to_copy_has_up_to_256_characters(text: str, is_shown: bool) -> None:  # noqa: FBT001
    assert bool(keys_of((Copy("Copy", text),))) is is_shown


def test_there_are_at_most_a_hundred_buttons_and_eight_in_a_row() -> None:
    row: Row = tuple(Copy(str(number), "x") for number in range(20))

    rows = keys_of(*[row] * 6)

    assert sum(map(len, rows)) == 100
    assert max(map(len, rows)) == 8


def test_only_the_last_part_has_buttons_and_only_the_first_is_a_reply() -> None:
    button = Button("Again", "again", "7F3K")

    steps = plan(Result("word\n\n" * 1300, "r.md", buttons=((button,),)), reply_to="3")

    texts = [step for step in steps if isinstance(step, SendText)]
    assert [bool(step.keys) for step in texts] == [False, True]
    assert [step.reply_to for step in texts] == [3, None]


# Results


def test_a_result_has_our_lines_around_it_and_the_last_in_italics() -> None:
    result = Result("**Done**", "r.md", head="Result of #7F3K", foot="#7F3K done · 421 sat")

    (step,) = plan(result)

    text = "Result of #7F3K\n\nDone\n\n#7F3K done · 421 sat"
    bold, italic = Span("bold", 17, 21), Span("italic", 23, len(text))
    assert step == SendText(content=Styled(text, (bold, italic)))


def test_a_cut_cannot_make_a_line_of_ours_out_of_a_models_words() -> None:
    markdown = "x" * (TEXT_MAX - 7) + " #7F3K done · 1 sat"

    steps = plan(Result(markdown, "r.md", foot="#7F3K done · 421 sat"))

    assert len(steps) == 2
    assert isinstance(steps[1], SendText)
    assert steps[1].content.text.startswith(f"{QUOTED}#7F3K done · 1 sat\n")


@pytest.mark.parametrize(
    ("markdown", "calls"),
    [
        ("x" * 4082, 1),
        ("x" * 4083, 2),
        ("para\n\n" * 1900, 3),
        ("para\n\n" * 2100, 2),
        ("intro\n\n" * 200 + "```\n" + "x = 1\n" * 600 + "```", 2),
        ("```\n" + "x = 1\n" * 600 + "```", 1),
        ("😀" * 2030, 1),
        ("😀" * 6200, 2),
        ("word\n\n" * 100_000, 2),
    ],
)
def test_a_result_is_up_to_three_messages_or_a_beginning_and_a_file(
    markdown: str, calls: int
) -> None:
    steps = plan(Result(markdown, "r.md", foot="#7F3K done"))

    assert len(steps) == calls


def test_a_file_holds_the_markdown_as_it_was_written() -> None:
    markdown = "**word** ü and more words\n\n" * 1000
    result = Result(markdown, "7F3K-result.md", foot="#7F3K done", file_note="It is long.")

    beginning, file = plan(result)

    assert isinstance(beginning, SendText)
    assert 900 < beginning.content.units <= 1000
    assert file == SendFile(
        name="7F3K-result.md",
        body=markdown.encode(),
        caption=Styled("It is long.\n#7F3K done", (Span("italic", 12, 22),)),
    )


TEXTS = st.text(st.sampled_from("a \n😀*`_~<[](#✓"), min_size=1, max_size=6000)


def test_nothing_to_say_takes_no_call() -> None:
    assert plan(Result(" \n", "r.md")) == []


@settings(max_examples=60, deadline=None)
@given(st.builds(lambda text, times: (text * times)[:20_000], TEXTS, st.integers(1, 30)))
def test_no_call_is_above_a_limit(markdown: str) -> None:
    for step in plan(Result(markdown, "r.md", head="Result", foot="#7F3K done · 1 sat")):
        match step:
            case SendText(content=text):
                assert 0 < units(text.text) <= TEXT_MAX
            case SendFile(caption=caption):
                assert units(caption.text) <= CAPTION_MAX
            case _:
                pytest.fail("another call")
