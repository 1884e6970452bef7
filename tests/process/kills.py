"""Kill the program at points of its customers' jobs, start it again, and look at everything."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import nullcontext

from tests.process.customer import Customer
from tests.process.invariants import broken
from tests.process.load import Load
from tests.process.points import Point, Visit
from tests.process.world import StubWorld, World, writes_held


async def kill_at(world: World, points: Sequence[Point]) -> None:
    """One kill while one job stands at each of these points; then every job comes to its end."""
    visits = [Visit(world, Customer(world.program, world.pay)) for _ in points]
    for point, visit in zip(points, visits, strict=True):
        await point.approach(visit)
    is_crossed = any(point.cross for point in points)
    async with writes_held(world.database) if is_crossed else nullcontext():
        for point, visit in zip(points, visits, strict=True):
            if point.cross is not None:
                await point.cross(visit)
        world.program.kill()
    for point, visit in zip(points, visits, strict=True):
        await visit.settle()
        if point.while_down is not None:
            await point.while_down(visit)

    await world.program.start()

    await asyncio.gather(*map(_end, points, visits))


async def kill_at_random(world: StubWorld, *, times: int, seed: int) -> None:
    """Kill again and again under load; what was said stays true, and all comes to its end."""
    load, dice = Load(world, seed=seed), random.Random(seed)
    async with load.running():
        for _ in range(times):
            await asyncio.sleep(dice.uniform(0.05, 1.0))  # the moment is the dice's
            await world.program.restart()
            await load.verify()
    await load.end_all()


async def _end(point: Point, visit: Visit) -> None:
    if point.after is not None:
        await point.after(visit)
    job = await visit.customer.see_it_through()
    assert job["state"] == point.end, f"after {point.name}: {job}"


async def end_well(world: World | StubWorld) -> None:
    """Stop in good order, with books in good order."""
    assert await world.program.stop() == 0, world.program.log()
    assert await broken(world.database, world.outside()) == []
