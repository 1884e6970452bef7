"""The operator in the conversation: what `/admin` does, for whom, and what it never does."""

from collections.abc import AsyncIterator

import pytest

from core.books import actions, closing, people
from core.books.ledger import account
from core.values.mail import Peer
from tests.bots.chat_bench import ANNA, BEN, OLGA, REALM, Chat, opened_chat
from tests.conftest import Database

UNKNOWN = "I do not know this command. /help shows all."


@pytest.fixture
async def chat(sqlite_database: Database) -> AsyncIterator[Chat]:
    async with opened_chat(sqlite_database) as opened:
        yield opened


@pytest.fixture
async def any_chat(database: Database) -> AsyncIterator[Chat]:
    async with opened_chat(database) as opened:
        yield opened


async def balance(chat: Chat, peer: Peer) -> int:
    contact = await chat.world.store.read(people.contact, peer)
    found = await chat.world.store.read(account, contact.session_id)
    return found.balance // 1000


ORDERS = [
    *("status", "pause", "resume", "winddown 2030-01-01", "winddown off", "job 7F3K"),
    *("credit 7F3K 100", "block 2002", "unblock 2002", "errors", ""),
]


@pytest.mark.parametrize("order", ORDERS)
async def test_nobody_else_is_told_that_there_is_such_a_command(chat, order):
    assert await chat.says(ANNA, f"/admin {order}") == [UNKNOWN]
    assert await chat.world.store.read(actions.listed) == []


async def test_the_same_number_on_another_bot_is_another_person(chat):
    stranger = Peer("telegram", "7000000002", OLGA.uid)

    await chat.says(stranger, "/admin pause")

    assert not chat.world.core.gate.intake.reasons


async def test_on_nostr_the_old_messages_give_no_orders(chat):
    olga = Peer("nostr", REALM, "ab" * 32)

    assert (await chat.says(olga, "/admin status", via="nip04"))[-1] == UNKNOWN
    assert "Open jobs" in (await chat.says(olga, "/admin status", via="nip17"))[0]


async def test_the_status_says_how_everything_stands(chat):
    await chat.says(ANNA, "/start")
    await chat.is_given(ANNA, 1_000)

    (text,) = await chat.says(OLGA, "/admin status")

    assert "owed 1,000 sat" in text
    assert "Open jobs: 0, running 0" in text
    assert "LNbits: fine. Model: fine." in text
    assert text.endswith("New requests are taken.")


async def test_a_pause_refuses_new_requests_until_it_ends(chat):
    assert "Paused." in (await chat.says(OLGA, "/admin pause"))[0]
    assert "no new requests right now" in (await chat.says(ANNA, "Sort these names: b, a"))[0]

    assert await chat.says(OLGA, "/admin resume") == ["Open again."]
    assert not chat.world.core.gate.intake.reasons


async def test_winding_down_tells_everybody_with_a_balance_and_sells_nothing_new(any_chat):
    chat = any_chat
    await chat.says(ANNA, "/start")
    await chat.says(BEN, "/start")
    await chat.is_given(ANNA, 500)

    (said,) = await chat.says(OLGA, "/admin winddown 2030-01-31")
    await chat.read_all()
    told = await chat.letters()

    assert said.startswith("Closing on 2030-01-31. 1 people")
    assert [(letter.peer, letter.content.text) for letter in told] == [
        (ANNA, "This bot closes on 2030-01-31. Please /withdraw your balance (500 sat).")
    ]
    for order in ("Sort these names: b, a", "/topup 1000", "/chat", "/chat 1000", "/job Sort b, a"):
        assert "closes on 2030-01-31" in (await chat.says(BEN, order))[0]
    assert "You can take out" in (await chat.says(ANNA, "/withdraw"))[0]
    assert "Closing on 2030-01-31" in (await chat.says(OLGA, "/admin status"))[0]


async def test_who_is_blocked_is_told_to_take_the_balance_too(chat):
    await chat.says(ANNA, "/start")
    await chat.is_given(ANNA, 500)
    await chat.says(OLGA, "/admin block 2002")

    await chat.says(OLGA, "/admin winddown 2030-01-31")
    await chat.read_all()

    (told,) = await chat.letters()
    assert (told.peer, "closes on 2030-01-31" in told.content.text) == (ANNA, True)


async def test_winding_down_can_be_called_off(chat):
    await chat.says(OLGA, "/admin winddown 2030-01-31")

    assert await chat.says(OLGA, "/admin winddown off") == ["Not closing any more."]
    assert await chat.world.store.read(closing.day) == ""


@pytest.mark.parametrize("day", ["", "soon", "31.1.2030", "2020-01-01"])
async def test_a_day_that_is_none_closes_nothing(chat, day):
    assert "/admin status" in (await chat.says(OLGA, f"/admin winddown {day}"))[0]
    assert await chat.world.store.read(closing.day) == ""


async def test_a_credit_is_asked_about_and_then_given_with_its_reason(any_chat):
    chat = any_chat
    code = (await chat.asked(ANNA, "Sort these names: b, a")).slot.partition(":")[0]

    question = await chat.asked(OLGA, f"/admin credit {code} 250")
    before = await balance(chat, ANNA)
    answer = await chat.presses(OLGA, "Yes", question)

    assert (question.content.text, before) == ("Credit 250 sat to telegram:2002?", 0)
    assert answer == ["Credited 250 sat to telegram:2002. Balance there: 250 sat."]
    assert await balance(chat, ANNA) == 250
    (done,) = await chat.world.store.read(actions.listed)
    assert (done.action, done.reason) == ("give", f"for #{code}, by telegram:1001")


async def test_a_credit_is_given_once(chat):
    await chat.says(ANNA, "/start")
    question = await chat.asked(OLGA, "/admin credit telegram:2002 250")

    await chat.presses(OLGA, "Yes", question)
    await chat.presses(OLGA, "Yes", question)

    assert await balance(chat, ANNA) == 250


async def test_a_credit_that_is_declined_gives_nothing(chat):
    await chat.says(ANNA, "/start")
    asked = await chat.says(OLGA, "/admin credit telegram:2002 250")

    await chat.says(OLGA, "no")
    await chat.says(OLGA, "yes")

    assert asked == ["Credit 250 sat to telegram:2002?"]
    assert await balance(chat, ANNA) == 0


@pytest.mark.parametrize("order", ["credit", "credit ZZZZ", "credit ZZZZ 0", "credit ZZZZ many"])
async def test_a_credit_without_an_amount_is_none(chat, order):
    assert "/admin status" in (await chat.says(OLGA, f"/admin {order}"))[0]


async def test_a_credit_for_nobody_is_none(chat):
    assert await chat.says(OLGA, "/admin credit ZZZZ 5") == ["There is no job ZZZZ."]
    assert await chat.says(OLGA, "/admin credit 9999999 5") == ["I know nobody called 9999999."]


async def test_a_job_is_described_without_its_text(chat):
    code = (await chat.asked(ANNA, "Sort these secret names: b, a")).slot.partition(":")[0]

    (text,) = await chat.says(OLGA, f"/admin job {code.lower()}")

    assert text.startswith(f"#{code} of telegram:2002: not paid since ")
    assert "secret" not in text
    assert await chat.says(OLGA, "/admin job ZZZZ") == ["There is no job ZZZZ."]


async def test_who_is_blocked_is_sold_nothing_and_keeps_the_way_out(chat):
    await chat.says(ANNA, "/start")
    await chat.is_given(ANNA, 500)

    blocked = await chat.says(OLGA, "/admin block 2002")

    assert blocked == ["telegram:2002 is blocked. /withdraw still works there."]
    for order in ("Sort these names: b, a", "/job Sort b, a", "/topup 1000", "/chat"):
        assert await chat.says(ANNA, order) == ["I cannot work for you. /withdraw still works."]
    assert "You can take out" in (await chat.says(ANNA, "/withdraw"))[0]
    assert "I cannot use this" in (await chat.says(ANNA, "nowhere"))[0]  # an answer to that


async def test_who_is_not_blocked_any_more_is_served(chat):
    await chat.says(ANNA, "/start")
    await chat.says(OLGA, "/admin block telegram:2002")

    await chat.says(OLGA, "/admin unblock telegram:2002")

    assert "21 sat" in (await chat.says(ANNA, "Sort these names: b, a"))[0]


async def test_the_last_errors_are_shown(chat):
    assert await chat.says(OLGA, "/admin errors") == ["No errors."]

    chat.errors.append("2026-01-31 the disk is full")

    assert await chat.says(OLGA, "/admin errors") == ["Last errors:\n2026-01-31 the disk is full"]
