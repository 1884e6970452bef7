"""Alarms: what the operator is told by itself, how often, and that it is over."""

from collections.abc import AsyncIterator

import pytest

from bots.channel import ChannelDown
from core.books import people
from tests.bots.chat_bench import ANNA, OLGA, Chat, opened_chat
from tests.conftest import Database


@pytest.fixture
async def chat(sqlite_database: Database) -> AsyncIterator[Chat]:
    async with opened_chat(sqlite_database) as opened:
        await opened.says(OLGA, "/start")
        yield opened


async def told(chat: Chat) -> list[str]:
    """What the operator is told now."""
    await chat.alarms.look()
    letters = await chat.letters()
    assert {letter.peer for letter in letters} <= {OLGA}
    return [letter.content.text for letter in letters]


async def pass_seconds(chat: Chat, seconds: int) -> None:
    """Let time pass in steps, so that whoever looks often has looked."""
    for _ in range(seconds // 10):
        await chat.world.pass_time(10)


async def test_all_is_well_and_nothing_is_told(chat):
    await pass_seconds(chat, 60)

    assert await told(chat) == []


async def test_a_wallet_that_is_away_is_told_once_and_that_it_is_back(chat):
    chat.world.wallet.is_down = True
    await pass_seconds(chat, 240)

    first, again = await told(chat), await told(chat)
    chat.world.wallet.is_down = False
    await pass_seconds(chat, 60)

    assert [text.partition(" since")[0] for text in first] == ["⚠ LNbits does not answer"]
    assert "https://lnbits.example" in first[0]
    assert again == []
    assert [text.partition(" after")[0] for text in await told(chat)] == ["✓ LNbits is back"]
    assert await told(chat) == []


async def test_a_short_absence_is_no_news(chat):
    chat.world.wallet.is_down = True
    await pass_seconds(chat, 10)
    short = await told(chat)
    chat.world.wallet.is_down = False
    await pass_seconds(chat, 20)

    assert (short, await told(chat)) == ([], [])


async def test_a_second_absence_within_ten_minutes_is_told_later(chat):
    for _ in range(2):
        chat.world.wallet.is_down = True
        await pass_seconds(chat, 40)
        last = await told(chat)
        chat.world.wallet.is_down = False
        await pass_seconds(chat, 20)
        back = await told(chat)

    assert (last, back) == ([], [])

    chat.world.wallet.is_down = True
    await pass_seconds(chat, 600)

    assert len(await told(chat)) == 1


async def test_a_wallet_that_holds_too_little_is_told_and_that_it_covers_again(chat):
    await chat.says(ANNA, "/start")
    await chat.is_given(ANNA, 500)
    await pass_seconds(chat, 60)

    short = await told(chat)
    chat.world.wallet.holds_msat = 600_000
    await pass_seconds(chat, 20)

    assert short == ["⚠ Wallet 0 sat < owed 500 sat. I stopped taking money."]
    assert await told(chat) == ["✓ Wallet 600 sat covers what is owed (500 sat) again."]


async def test_letters_that_wait_are_told(chat):
    chat.world.core.desk.health.doors["telegram"] = lambda: True
    await chat.hears(OLGA, "/help")
    await pass_seconds(chat, 120)
    await chat.alarms.look()

    texts = await told(chat)

    assert texts[-1] == "⚠ 1 messages wait, the oldest for 2 min. Check Telegram."


async def test_letters_that_only_seem_old_after_a_sleep_of_the_machine_are_not_told(chat):
    chat.world.core.desk.health.doors["telegram"] = lambda: True
    await chat.hears(OLGA, "/help")
    await chat.world.pass_time(3600)

    just_awake, later = await told(chat), await told(chat)

    assert (len(just_awake), later) == (1, [])  # the letter itself


async def test_letters_for_a_terminal_may_wait(chat):
    await chat.hears(OLGA, "/help")
    await pass_seconds(chat, 120)

    assert len(await told(chat)) == 1  # the letter itself


@pytest.mark.parametrize(
    ("is_rival", "text"),
    [
        (True, "⚠ Telegram: another program polls with this token (409)."),
        (False, "⚠ Telegram: the token is refused (401)."),
    ],
)
async def test_a_channel_that_refuses_us_is_told(chat, is_rival, text):
    for _ in range(3):
        await chat.alarms.channel_is_down("telegram", ChannelDown("no", is_rival=is_rival))

    assert [each.partition(" S")[0] for each in await told(chat)] == [text]


async def test_what_happens_again_is_told_again_after_ten_minutes(chat):
    await chat.alarms.undelivered("telegram", "too long")
    first = await told(chat)
    await pass_seconds(chat, 590)
    await chat.alarms.undelivered("telegram", "too long")
    soon = await told(chat)
    await pass_seconds(chat, 10)
    await chat.alarms.undelivered("telegram", "too long")

    assert first == ["⚠ A message could not be delivered on Telegram: too long."]
    assert soon == []
    assert await told(chat) == first


async def test_each_kind_is_told_for_itself(chat):
    await chat.alarms.undelivered("telegram", "too long")
    await chat.alarms.mail_is_dead("7F3K2A")
    await chat.alarms.links_refused("telegram")

    assert len(await told(chat)) == 3


async def test_the_operator_is_told_in_the_language_that_was_chosen(chat):
    await chat.says(OLGA, "/lang de")

    await chat.alarms.mail_is_dead("7F3K2A")

    assert "dreimal" in (await told(chat))[0]


async def test_an_operator_who_never_wrote_is_told_in_english(sqlite_database):
    async with opened_chat(sqlite_database) as chat:
        await chat.alarms.mail_is_dead("7F3K2A")

        assert await chat.world.store.read(people.contact, OLGA) is None
        assert len(await told(chat)) == 1
