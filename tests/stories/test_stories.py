"""Every story, against the finished program: on SQLite, and on PostgreSQL where money moves."""

from pathlib import Path

import pytest

from tests.conftest import Database
from tests.simulator.seats import seated
from tests.simulator.stage import find_faketime, open_stage
from tests.simulator.story import read
from tests.simulator.story_steps import Story, Wait

STORIES = [read(file) for file in sorted(Path(__file__).parent.glob("*.chat"))]
ABOUT_MONEY = [story for story in STORIES if story.is_for_postgres]


def name_of(story: Story) -> str:
    return story.name


async def play(
    story: Story, database: Database, *, kill_after: frozenset[int] = frozenset()
) -> None:
    passes_time = any(isinstance(step.action, Wait) for step in story.steps)
    clock = find_faketime() if passes_time else None
    async with (
        open_stage(story.world, database, moves_clock=clock) as stage,
        seated(story, stage, kill_after) as player,
    ):
        await player.play()


@pytest.mark.parametrize("story", STORIES, ids=name_of)
async def test_a_story_goes_as_it_is_written(story: Story, sqlite_database: Database) -> None:
    await play(story, sqlite_database)


@pytest.mark.parametrize("name", ["T03-one-off-job", "T19-close-and-withdraw"])
async def test_it_goes_on_when_it_is_killed_after_every_line(
    name: str, sqlite_database: Database
) -> None:
    story = next(story for story in STORIES if story.name == name)
    await play(story, sqlite_database, kill_after=frozenset(range(1000)))


@pytest.mark.parametrize("story", ABOUT_MONEY, ids=name_of)
async def test_money_moves_as_it_is_written_on_postgres_too(
    story: Story, postgres_database: Database
) -> None:
    await play(story, postgres_database)
