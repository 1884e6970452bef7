"""Delivery: what becomes of a letter for each answer of its channel."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bots.channel import (
    Bad,
    Caps,
    Down,
    Gone,
    Lost,
    Outcome,
    Sent,
    Shown,
    TryLater,
    Unknown,
)
from bots.deliver import Delivery
from bots.pace import Pace
from core.books import outbox, people
from core.values.mail import Letter, Note, Peer, Result
from tests.bots.chat_bench import ANNA, BEN, REALM, Chat, opened_chat
from tests.conftest import Database
from tests.process.server import eventually

LIKE_TELEGRAM = Caps(
    has_buttons=True, can_edit=True, can_preview=True, per_peer_per_s=0, burst=0, per_s=0
)
LIKE_NOSTR = replace(LIKE_TELEGRAM, can_edit=False, is_idempotent=True)


@dataclass(frozen=True)
class Crash:
    """The process dies in the middle of the call."""


@dataclass(eq=False)
class ScriptedChannel:
    """Answers as it is told, and remembers what it was asked. A step is a text."""

    name: str = "telegram"
    realm: str = REALM
    caps: Caps = LIKE_TELEGRAM
    script: list[Outcome | Crash] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    shown: list[Shown | None] = field(default_factory=list)
    crashed: asyncio.Event = field(default_factory=asyncio.Event)

    def plan(self, letter: Letter, shown: Shown | None) -> Sequence[str]:
        self.shown.append(shown)
        if isinstance(letter.content, Result):
            return letter.content.markdown.split("|")
        return [letter.content.text]

    async def perform(self, peer: Peer, step: str) -> Outcome:
        self.asked.append((peer.uid, step))
        if self.script:
            outcome = self.script.pop(0)
            if isinstance(outcome, Crash):
                self.crashed.set()
                await asyncio.Event().wait()
            return outcome
        return Sent(f"id {len(self.asked)}")

    def texts(self) -> list[str]:
        return [step for _, step in self.asked]


@dataclass(eq=False)
class Bench:
    chat: Chat
    channel: ScriptedChannel

    @property
    def clock(self) -> Any:
        return self.chat.world.clock

    @property
    def store(self) -> Any:
        return self.chat.world.store

    async def post(self, text: str, *, peer: Peer = ANNA, **how: Any) -> None:
        content = Result(text, name="r") if "|" in text else Note(text)
        letter = Letter(peer=peer, content=content, **how)
        await self.store.write(outbox.post, letter, self.clock.now_ms())

    async def run_for(self, seconds: float = 0.0) -> None:
        """Deliver until nothing more is due, after this time has passed."""
        self.clock.jump(int(seconds * 1000))
        async with self.delivering():
            await eventually(self.is_quiet)

    async def run_until_it_crashes(self) -> None:
        self.channel.crashed.clear()
        async with self.delivering():
            await self.channel.crashed.wait()

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        delivery = Delivery(
            self.channel,
            self.chat.world.core.desk.mail,
            self.chat.world.core.desk.people,
            Pace(self.channel.caps),
            self.chat.alarms,
        )
        running = asyncio.create_task(delivery.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def is_quiet(self) -> bool:
        """Whether nothing is due now."""
        mail = self.chat.world.core.desk.mail
        return not await mail.letters(self.channel.name, REALM)


@asynccontextmanager
async def opened(database: Database, *script: Outcome | Crash) -> AsyncIterator[Bench]:
    async with opened_chat(database) as chat:
        yield Bench(chat, ScriptedChannel(script=list(script)))


async def test_letters_arrive_in_their_order(database: Database) -> None:
    async with opened(database) as bench:
        for text in ("one", "two", "three"):
            await bench.post(text)

        await bench.run_for()

        assert bench.channel.texts() == ["one", "two", "three"]


@pytest.mark.parametrize(
    "refusal", [TryLater(7, "flood"), TryLater(None, "502"), TryLater(3, "flood", is_for_all=True)]
)
async def test_what_is_put_off_is_said_later(database: Database, refusal: Outcome) -> None:
    async with opened(database, refusal) as bench:
        await bench.post("one")
        await bench.post("two")

        await bench.run_for()
        assert bench.channel.texts() == ["one"]
        await bench.run_for(10)

        assert bench.channel.texts() == ["one", "one", "two"]


async def test_a_peer_that_has_to_wait_holds_nobody_else_up(database: Database) -> None:
    async with opened(database, TryLater(60, "flood")) as bench:
        await bench.post("to anna")
        await bench.post("to ben", peer=BEN)

        await bench.run_for()

        assert bench.channel.asked == [(ANNA.uid, "to anna"), (BEN.uid, "to ben")]


async def test_what_is_in_doubt_is_said_once_more_and_then_counts_as_said(
    database: Database,
) -> None:
    async with opened(database, Unknown("cut"), Unknown("cut")) as bench:
        await bench.post("one")
        await bench.post("two")

        for _ in range(4):
            await bench.run_for(10)

        assert bench.channel.texts() == ["one", "one", "two"]


async def test_on_a_channel_that_knows_repetitions_doubt_is_tried_on(database: Database) -> None:
    async with opened(database, *[Unknown("cut")] * 4) as bench:
        bench.channel.caps = LIKE_NOSTR
        await bench.post("one")

        for _ in range(6):
            await bench.run_for(10)

        assert bench.channel.texts() == ["one"] * 5


async def test_what_a_crash_cut_off_is_said_again_however_often_it_crashes(
    database: Database,
) -> None:
    async with opened(database, Crash(), Crash(), Crash()) as bench:
        await bench.post("one")

        for _ in range(3):
            await bench.run_until_it_crashes()
        await bench.run_for()

        assert bench.channel.texts() == ["one"] * 4


async def test_a_long_answer_goes_on_at_the_part_that_is_missing(database: Database) -> None:
    async with opened(database, Sent("1"), TryLater(5, "flood")) as bench:
        await bench.post("a|b|c", slot="s", is_news=True)

        await bench.run_for()
        await bench.run_for(10)

        assert bench.channel.texts() == ["a", "b", "b", "c"]
        card = await bench.store.read(outbox.card, ANNA, "s")
        assert card.ext_ids == ("1", "id 3", "id 4")


async def test_whoever_is_gone_gets_it_all_when_back(database: Database) -> None:
    async with opened(database, Gone("blocked")) as bench:
        await bench.chat.hears(ANNA, "/help")
        await bench.post("two")

        await bench.run_for()
        assert len(bench.channel.asked) == 1
        await bench.chat.hears(ANNA, "/balance")
        await bench.run_for()

        help_text, *said = bench.channel.texts()
        assert said[0] == "While you were away:"
        assert said[1:3] == [help_text, "two"]
        assert said[3].startswith("Balance")


async def test_a_card_that_is_lost_is_said_anew(database: Database) -> None:
    async with opened(database, Sent("1", form="photo"), Lost()) as bench:
        await bench.post("card", slot="s", is_news=True)
        await bench.run_for()
        await bench.post("card, paid", slot="s")

        await bench.run_for()

        assert bench.channel.texts() == ["card", "card, paid", "card, paid"]
        assert [shown is not None for shown in bench.channel.shown] == [False, True, False]
        card = await bench.store.read(outbox.card, ANNA, "s")
        assert card.ext_ids == ("id 3",)


async def test_what_looks_as_it_is_shown_is_not_drawn_again(database: Database) -> None:
    async with opened(database) as bench:
        for _ in range(3):
            await bench.post("the same", slot="s")
            await bench.run_for()

        assert bench.channel.texts() == ["the same"]


async def test_what_is_only_passing_is_left_unsaid_where_nothing_is_edited(
    database: Database,
) -> None:
    async with opened(database) as bench:
        bench.channel.caps = LIKE_NOSTR
        await bench.post("Checking", slot="s", is_passing=True)
        await bench.post("Done")

        await bench.run_for()

        assert bench.channel.texts() == ["Done"]


async def test_what_is_refused_for_good_lets_the_next_through(database: Database) -> None:
    async with opened(database, Bad("message is too long")) as bench:
        await bench.post("one")
        await bench.post("two")

        await bench.run_for()

        assert [step for uid, step in bench.channel.asked if uid == ANNA.uid] == ["one", "two"]


async def test_a_channel_that_refuses_us_is_asked_again_later(database: Database) -> None:
    async with opened(database, Down("unauthorized")) as bench:
        await bench.post("one")

        await bench.run_for()
        await bench.run_for(61)

        assert bench.channel.texts() == ["one", "one"]


async def test_somebody_unknown_to_us_can_be_lost_without_harm(database: Database) -> None:
    stranger = Peer("telegram", REALM, "77")
    async with opened(database, Gone("chat not found")) as bench:
        await bench.post("one", peer=stranger)

        await bench.run_for()

        assert await bench.store.read(people.contact, stranger) is None
        assert await bench.is_quiet()
