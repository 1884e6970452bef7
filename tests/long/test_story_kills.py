"""Killed after any one line of a story, the program goes on to the same end, on both databases."""

import pytest

from tests.conftest import Database
from tests.simulator.story_steps import Check, Silence, Story
from tests.stories.test_stories import STORIES, play

KILLED = (
    *("T03-one", "T05-pay-once", "T09", "T12", "T15", "T17", "T19", "T24"),
    *("N02", "N03", "N08", "N09"),
)
PLACES = [
    pytest.param(story, step.number, id=f"{story.name}:{step.number}")
    for story in STORIES
    if story.name.startswith(KILLED)
    for step in story.steps
    if not isinstance(step.action, Check | Silence)
]


@pytest.mark.parametrize(("story", "line"), PLACES)
async def test_killed_after_a_line_it_goes_on(story: Story, line: int, database: Database) -> None:
    await play(story, database, kill_after=frozenset({line}))
