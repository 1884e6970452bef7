"""Everybody in a story takes their seat."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.simulator.nostr_seat import seat_on_nostr
from tests.simulator.openai_seat import seat_at_openai
from tests.simulator.player import Player
from tests.simulator.seat import Seat, TelegramSeat
from tests.simulator.stage import Stage
from tests.simulator.story_steps import Cast, Story
from tests.simulator.terminal_seat import seat_at_terminal


@asynccontextmanager
async def seated(
    story: Story, stage: Stage, kill_after: frozenset[int] = frozenset()
) -> AsyncIterator[Player]:
    """The player of a story whose people all have their seats, while the block runs."""
    async with AsyncExitStack() as stack:
        player = Player(story, stage, kill_after)
        for person in story.persons:
            player.seats[person.name] = await _seat(stack, stage, person)
        yield player


async def _seat(stack: AsyncExitStack, stage: Stage, person: Cast) -> Seat:
    match person.channel:
        case "nostr17" | "nostr04":
            return await stack.enter_async_context(seat_on_nostr(stage, person))
        case "terminal":
            return await stack.enter_async_context(seat_at_terminal(stage, person))
        case "openai":
            return await stack.enter_async_context(seat_at_openai(stage))
        case _:
            seated = stage.telegram.person(person.name, lang=person.lang)
            return TelegramSeat(stage.telegram, seated)
