"""What words mean by themselves."""

import pytest

from bots.words import (
    Command,
    code_in,
    command_in,
    has_words,
    is_destination,
    is_greeting,
    sats_in,
    says_paid,
)

INVOICE = (
    "lnbc210n1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enx"
)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/help", Command("help")),
        ("!help", Command("help")),
        ("/HELP", Command("help")),
        ("/topup 1000", Command("topup", "1000")),
        ("/job Sort these\nnames", Command("job", "Sort these\nnames")),
        ("/nonsense", Command("nonsense")),
        ("help", Command("help")),
        ("Help?", Command("help")),
        ("balance", Command("balance")),
        ("topup 1000", Command("topup", "1000")),
        ("withdraw anna@wallet.com", Command("withdraw", "anna@wallet.com")),
        ("yes", Command("yes")),
        ("yes 7F3K", Command("yes", "7F3K")),
        ("ja", Command("yes")),
        ("cancel #7F3K", Command("cancel", "#7F3K")),
        ("new 7F3K", Command("new", "7F3K")),
        ("link K7QF-2M9P", Command("link", "K7QF-2M9P")),
        ("lang de", Command("lang", "de")),
    ],
)
def test_a_whole_message_can_be_a_command(text: str, command: Command) -> None:
    assert command_in(text) == command


@pytest.mark.parametrize(
    "text",
    [
        "help me write a letter",
        "balance this equation",
        "new york in three sentences",
        "yes or no: is water wet?",
        "chat about cats",
        "cancel my subscription, how?",
        "history of Rome",
        "Sort these names",
    ],
)
def test_a_request_may_begin_with_any_word(text: str) -> None:
    assert command_in(text) is None


@pytest.mark.parametrize(
    ("text", "sats"),
    [
        *(("1000", 1000), ("1,000", 1000), ("1.000 sat", 1000), ("21 sats", 21), ("1 000", 1000)),
        *(("", None), ("off", None), ("-5", None), ("1e3", None), ("many", None)),
    ],
)
def test_an_amount_may_be_written_as_people_write_it(text: str, sats: int | None) -> None:
    assert sats_in(text) == sats


@pytest.mark.parametrize(
    ("text", "code"), [("7f3k", "7F3K"), ("#7F3K", "7F3K"), ("7F3", None), ("", None)]
)
def test_a_code_is_read_with_and_without_its_sign(text: str, code: str | None) -> None:
    assert code_in(text) == code


@pytest.mark.parametrize("text", ["hi", "Hello!", "gm", "?", "ok", "hallo "])
def test_a_greeting_is_no_request(text: str) -> None:
    assert is_greeting(text)


@pytest.mark.parametrize("text", ["paid", "Paid!", "done", "I have paid.", "bezahlt", "ab" * 32])
def test_a_word_about_a_payment_is_understood(text: str) -> None:
    assert says_paid(text)


@pytest.mark.parametrize(
    "text", [INVOICE, f"lightning:{INVOICE}", "anna@wallet.com", "LNURL1" + "DP68GURN8GHJ7" * 3]
)
def test_a_destination_alone_is_recognised(text: str) -> None:
    assert is_destination(text)


@pytest.mark.parametrize("text", [f"pay {INVOICE}", "anna@wallet", "write to anna@wallet.com"])
def test_a_destination_among_other_words_is_a_request(text: str) -> None:
    assert not is_destination(text)


def test_emoji_alone_are_nothing_to_read() -> None:
    assert not has_words("🙂🙂 !")
    assert has_words("2 + 2")
