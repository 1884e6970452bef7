"""Stories of Telegram that go the same way at a terminal: one conversation serves both."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.simulator.player import Player
from tests.simulator.stage import open_stage
from tests.simulator.story import read
from tests.simulator.terminal_seat import as_in_a_terminal, seat_at_terminal

PLAYED = (
    "T03-auf-deutsch",
    "T03-one-off-job",
    "T04-from-the-balance",
    "T05-pay-once",
    "T05-the-first-invoice-is-paid-instead",
    "T14-open-a-chat",
    "T15-chat-turn",
    "T16-low-balance",
    "T17-empty",
    "T19-close-and-withdraw",
)


@pytest.mark.parametrize("name", PLAYED)
async def test_a_story_goes_the_same_way_at_a_terminal(name: str, sqlite_database: Database):
    story = as_in_a_terminal(read(Path(__file__).parent / f"{name}.chat"))
    async with open_stage(story.world, sqlite_database) as stage, AsyncExitStack() as seats:
        player = Player(story, stage)
        for person in story.persons:
            player.seats[person.name] = await seats.enter_async_context(
                seat_at_terminal(stage, person)
            )

        await player.play("terminal")
