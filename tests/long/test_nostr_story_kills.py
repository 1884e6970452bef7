"""Killed after any one line of a story on Nostr, the program goes on to the same end."""

import pytest

from tests.conftest import Database
from tests.long.places import places_in
from tests.simulator.story_steps import Story
from tests.stories.test_stories import play

PLACES = places_in("N02", "N03", "N08", "N09")


@pytest.mark.parametrize(("story", "line"), PLACES)
async def test_killed_after_a_line_it_goes_on(story: Story, line: int, database: Database) -> None:
    await play(story, database, kill_after=frozenset({line}))
