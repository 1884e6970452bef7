"""The story runner itself, proven on a small shop of ours and on the bare program."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Database
from tests.process.server import ROOT, Program, environment
from tests.simulator.player import Player, WrongLine
from tests.simulator.stage import Stage, find_faketime, open_stage
from tests.simulator.story import parse


class Echo(Program):
    """The little shop instead of the program."""

    def _launch(self) -> Path:
        self._starts += 1
        hello = self.folder / f"hello-{self._starts}"
        with hello.open("wb") as stdout, (self.folder / "log").open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.simulator.echo_bot"],
                cwd=ROOT,
                env=environment(self.variables),
                stdout=stdout,
                stderr=stderr,
            )
        return hello


class Rehearsal(Player):
    """The shop has no books."""

    async def _wait(self, seconds: float) -> None:
        await self.stage.pass_time(seconds)

    async def _check(self, check: Any) -> None:
        if check.what in ("calls", "acts"):
            await super()._check(check)


async def rehearse(text: str, database: Database, **more: Any) -> Stage:
    story = parse(f"title: a rehearsal\nperson anna on telegram\nperson bob on telegram\n{text}")
    async with open_stage({}, database, make_program=Echo, **more) as stage:
        await Rehearsal(story, stage).play()
        return stage


async def fails(text: str, database: Database) -> str:
    with pytest.raises(WrongLine) as caught:
        await rehearse(text, database)
    return str(caught.value)


async def test_a_card_is_shown_paid_and_edited(sqlite_database: Database) -> None:
    await rehearse(
        """
        anna> buy
        bot> photo ~ "#{code}: 21 sat" has_invoice 21 button "Open" -> "/pay/" as card
        anna pays card
        bot~ card = "Paid 21 sat" no buttons
        bot> = "Here it is."
        calls: lnbits.create=1 telegram.sendPhoto=1
        """,
        sqlite_database,
    )


async def test_what_people_had_to_do_is_counted_between_two_looks(
    sqlite_database: Database,
) -> None:
    road = """
        anna> buy
        bot> photo as card
        anna pays card
        bot> = "Here it is."
        acts: messages=1 presses=0 payments=1
        anna> hello
        bot> ~ "hello"
        """
    await rehearse(f"{road}acts: messages=1", sqlite_database)

    assert "messages=1 presses=0" in await fails(
        f"{road}acts: messages=1 presses=1", sqlite_database
    )


async def test_a_press_is_answered_by_a_toast_and_an_edit(sqlite_database: Database) -> None:
    await rehearse(
        """
        anna> buy
        bot> photo as card
        bob> hello
        bot> ~ "hello"
        anna presses "Cancel" on card
        bot! = "OK"
        bot~ card = "Cancelled #{card.code}"
        """,
        sqlite_database,
    )


async def test_nobody_pays_a_picture_that_its_caption_does_not_say(
    sqlite_database: Database,
) -> None:
    told = await fails("anna> buy cheap\nbot> photo as card\nanna pays card", sqlite_database)

    assert ">>> line 6: anna pays card" in told
    assert "the picture says" in told


async def test_time_passes_in_the_program_while_it_runs(sqlite_database: Database) -> None:
    stage = await rehearse(
        """
        anna> buy
        bot> photo as card
        wait 40d
        anna> time
        bot> /^20/
        """,
        sqlite_database,
        moves_clock=find_faketime(),
    )

    told = [event.text for event in stage.telegram.chats.events if event.kind == "sent"][-1]
    assert told[:13] == _moment(stage)


def _moment(stage: Stage) -> str:
    from time import gmtime, strftime  # noqa: PLC0415

    return strftime("%Y-%m-%d %H", gmtime(stage.telegram.chats.now_s()))


async def test_an_invoice_that_ran_out_is_not_paid(sqlite_database: Database) -> None:
    text = "title: one\nperson anna on telegram\nanna> buy\nbot> photo as card\nwait 16m\n"
    async with open_stage(
        {}, sqlite_database, make_program=Echo, moves_clock=find_faketime()
    ) as stage:
        with pytest.raises(WrongLine, match="expired"):
            await Rehearsal(parse(f"{text}anna pays card"), stage).play()


async def test_a_program_is_killed_and_started_again(sqlite_database: Database) -> None:
    await rehearse(
        """
        anna> count
        bot> ~ "1 times"
        kill bot
        anna> count
        start bot
        bot> maybe ~ "1 times"
        bot> ~ "2 times"
        """,
        sqlite_database,
    )


async def test_a_fault_meets_the_program(sqlite_database: Database) -> None:
    await rehearse(
        """
        telegram next getUpdates -> slow 1
        anna> hello
        bot> = "You said: hello"
        """,
        sqlite_database,
    )


async def test_a_wrong_text_is_marked_in_the_chat(sqlite_database: Database) -> None:
    told = await fails('anna> hello\nbot> = "Good day"\nanna> bye', sqlite_database)

    assert "anna> hello" in told
    assert "bot> You said: hello" in told
    assert '>>> line 5: bot> = "Good day"' in told
    assert "bye" not in told


async def test_one_message_too_many_is_found(sqlite_database: Database) -> None:
    told = await fails(
        """
        anna> one
        anna> two
        bot> ~ "one"
        bot> nothing for 1s
        """,
        sqlite_database,
    )

    assert ">>> line 8" in told or ">>> (the end" in told
    assert "something came: 'You said: two'" in told


async def test_silence_is_told_from_a_message(sqlite_database: Database) -> None:
    told = await fails('anna> hello\nbot> ~ "hello"\nbot> ~ "more" within 1s', sqlite_database)

    assert "within 1 s: nothing came" in told


async def test_the_books_of_the_program_are_read(database: Database) -> None:
    story = parse("title: one\nworld: check=7\nledger: in=0 revenue=0 liabilities=0")
    async with open_stage(story.world, database) as stage:
        await Player(story, stage).play()


async def test_wrong_books_are_told(sqlite_database: Database) -> None:
    story = parse("title: one\nledger: in=21")
    async with open_stage({}, sqlite_database) as stage:
        with pytest.raises(WrongLine, match="in=0"):
            await Player(story, stage, books_within_s=0.1).play()
