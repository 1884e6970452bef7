"""300 sessions with 10 requests each under kill -9, on each database: about 5 minutes."""

from tests.conftest import Database
from tests.process.kills import end_well
from tests.process.spender import spend_under_kills
from tests.process.world import open_stub_world


async def test_sessions_that_spend_survive_kills(database: Database) -> None:
    async with open_stub_world(database) as world:
        await spend_under_kills(world, sessions=300, requests=10, kills=8)
        await end_well(world)
