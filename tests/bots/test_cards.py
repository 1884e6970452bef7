"""Every card of a request, in both languages, as it was last approved of.

After a wanted change: write the texts that this file makes into tests/bots/golden/cards-*.txt.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bots import catalogue
from bots.app import shop_of
from bots.cards import Cards, Payable, moment, state_of, title
from bots.scene import Place, Voice
from core.books.job_rows import Quote
from core.books.jobs import Job
from core.books.requests import PersonBill, Request
from core.config import load
from core.values.mail import Bill, Button, Letter, Link, Peer, Result
from core.values.money import Msat, from_sats

GOLDEN = Path(__file__).parent / "golden"
NOW_MS = 1_800_000_000_000
ANNA = Peer("telegram", "bot", "1001")
CATALOGUE = catalogue.load(["en", "de"])

REQUEST = Request(
    session_id="ses_1",
    code="7F3K",
    job_id="job_1",
    text='Translate "good morning" into Polish',
    state="started",
    told="",
    version=3,
    once_sats=0,
    peer=ANNA,
    message_id="11",
    created_at_ms=NOW_MS,
)
JOB = Job(
    job_id="job_1",
    state="complete",
    version=4,
    request=REQUEST.text,
    metadata=None,
    created_at_ms=NOW_MS,
    updated_at_ms=NOW_MS,
    deadline_at_ms=None,
    eval_invoice=None,
    quote=Quote(400, 20, 900, NOW_MS + 86_400_000, "translate one sentence into Polish"),
    work_invoice=None,
    reason=None,
    result="Dzień dobry, jak się masz?",
    model="offline",
    usage=None,
    error_code=None,
    error_message=None,
    refunds=(),
)


def payable(kind: str, sats: int) -> Payable:
    bill = PersonBill(
        payment_hash="00" * 32,
        session_id="ses_1",
        kind=kind,
        ref="7F3K",
        peer=ANNA,
        bolt11="lnbc1invoice",
        amount=from_sats(sats),
        expires_at_ms=NOW_MS,
    )
    return Payable(bill, "https://example.org/pay/token")


def all_cards(lang: str) -> Iterator[tuple[str, Letter]]:
    cards = Cards(shop_of(load(None, {})), Voice(CATALOGUE, lang), Place(ANNA), REQUEST, 3)
    yield "check", cards.check(payable("check", 21))
    yield "check, paid once", cards.check(payable("once", 500))
    yield "check, paid", cards.checking(from_sats(21))
    yield "check, from the balance", cards.checking_free(from_sats(979))
    yield "check, ran out", cards.check_expired()
    yield "check, cancelled", cards.closed("check", "card.cancelled")
    yield "price", cards.price(JOB, payable("price", 400), balance=Msat(0))
    yield "price, in part", cards.price(JOB, payable("price", 150), balance=from_sats(250))
    yield "price, from the balance", cards.price_from_balance(JOB, balance=from_sats(979))
    yield "price, paid", cards.working(JOB, from_sats(400))
    yield "price, accepted", cards.working(JOB, None)
    yield "price, under the limit", cards.started(JOB, limit_sats=500, left=from_sats(579))
    yield "price, ran out", cards.price_expired()
    yield "price, ended", cards.closed("price", "card.price_ended")
    yield "price, declined", cards.closed("price", "card.declined")
    yield "result", cards.result(JOB, left=None)
    yield "result, paid once", cards.result(JOB, left=from_sats(79))


def drawn(name: str, letter: Letter) -> str:
    content = letter.content
    kind = type(content).__name__ if letter.is_news else "redrawn"
    if isinstance(content, Result):
        parts = [content.head, content.markdown, content.foot, f"({content.file_note})"]
    else:
        parts = [content.text, f"hint: {content.hint}" if content.hint else ""]
    rows = [" ".join(f"[{face(button)}]" for button in row) for row in content.buttons]
    return "\n".join([f"== {name} ({kind}, {letter.slot})", *filter(None, [*parts, *rows])])


def face(button: object) -> str:
    match button:
        case Button(label, verb, ref, version):
            return f"{label} -> {verb} {ref} {version}"
        case Link(label, url):
            return f"{label} -> {url}"
        case _:
            raise AssertionError(button)


@pytest.mark.parametrize("lang", ["en", "de"])
def test_every_card_looks_as_it_was_approved_of(lang: str) -> None:
    text = "\n\n".join(drawn(name, letter) for name, letter in all_cards(lang)) + "\n"

    assert text == (GOLDEN / f"cards-{lang}.txt").read_text()


@pytest.mark.parametrize("lang", ["en", "de"])
def test_a_bill_says_where_its_invoice_stands(lang: str) -> None:
    bills = [letter.content for _, letter in all_cards(lang) if isinstance(letter.content, Bill)]

    assert len(bills) == 4
    assert all("\n{invoice}\n" in bill.text for bill in bills)


def test_a_request_is_quoted_in_a_few_words_of_one_line() -> None:
    assert title("Sort\n these   names") == "Sort these names"
    assert len(title("word " * 100)) <= 60


def test_a_moment_of_another_day_has_its_date() -> None:
    voice = Voice(CATALOGUE, "en")

    assert moment(voice, NOW_MS + 60_000, now_ms=NOW_MS) == "08:01 UTC"
    assert moment(voice, NOW_MS + 86_400_000, now_ms=NOW_MS) == "2027-01-16, 08:00 UTC"


@pytest.mark.parametrize(
    "told", ["", "evaluating", "awaiting_work_payment", "executing", "complete", "failed"]
)
def test_every_state_has_a_word(told: str) -> None:
    assert state_of(Voice(CATALOGUE, "en"), replace(REQUEST, told=told))
