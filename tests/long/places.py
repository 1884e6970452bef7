"""Every place of some stories at which the program can be killed."""

import pytest

from tests.simulator.story_steps import Check, Silence
from tests.stories.test_stories import STORIES


def places_in(*names: str) -> list[object]:
    """A story and the number of a line of it, for all stories whose names begin like these."""
    return [
        pytest.param(story, step.number, id=f"{story.name}:{step.number}")
        for story in STORIES
        if story.name.startswith(names)
        for step in story.steps
        if not isinstance(step.action, Check | Silence)
    ]
