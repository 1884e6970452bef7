"""The supervisor: a loop that dies is started again, and costs the others nothing."""

import asyncio

import pytest

from core.loops.supervisor import Supervisor
from core.values.errors import DatabaseUnavailable
from tests.fakes import Journal
from tests.hand_clock import HandClock


class Loops:
    """Loops that tell of each start, and then do what the script says."""

    def __init__(self, *script):
        self.starts = Journal()
        self._script = list(script)

    async def run(self):
        self.starts.write(len(self.starts) + 1)
        said = self._script.pop(0) if self._script else asyncio.Event()
        if isinstance(said, Exception):
            raise said
        if said is not None:
            await said.wait()


@pytest.fixture
async def clock():
    return HandClock()


@pytest.fixture
async def supervisor(clock):
    supervisor = Supervisor(clock)
    yield supervisor
    await supervisor.aclose()


@pytest.mark.parametrize(
    "end", [RuntimeError("our own mistake"), DatabaseUnavailable("gone"), None], ids=repr
)
async def test_a_loop_that_dies_or_ends_is_started_again_after_a_second(supervisor, clock, end):
    loops = Loops(end)
    supervisor.start("settler", loops.run)
    await clock.rest(1)
    assert supervisor.down == {"settler"}

    clock.advance(0.999)
    assert loops.starts == [1]
    clock.advance(0.001)
    await loops.starts.reaches(2)

    assert supervisor.down == frozenset()


async def test_a_loop_that_dies_again_and_again_is_never_given_up(supervisor, clock):
    loops = Loops(*(RuntimeError(f"mistake {number}") for number in range(10)))
    supervisor.start("settler", loops.run)

    for _ in range(10):
        await clock.rest(1)
        clock.advance(1)

    await loops.starts.reaches(11)
    assert supervisor.down == frozenset()


async def test_a_loop_that_dies_costs_the_others_nothing(supervisor, clock):
    dying, living = Loops(RuntimeError("our own mistake")), Loops()
    supervisor.start("settler", dying.run)
    supervisor.start("worker", living.run)

    await clock.rest(1)
    clock.advance(1)
    await dying.starts.reaches(2)

    assert living.starts == [1]


async def test_closing_stops_every_loop_also_one_that_waits_for_its_restart(clock):
    supervisor = Supervisor(clock)
    supervisor.start("settler", Loops(RuntimeError("our own mistake")).run)
    supervisor.start("worker", Loops().run)
    await clock.rest(1)

    async with asyncio.timeout(30):
        await supervisor.aclose()

    names = {task.get_name() for task in asyncio.all_tasks()}
    assert names.isdisjoint({"settler", "worker"})
