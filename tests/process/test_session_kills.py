"""kill -9 while sessions spend: one charge for each key, and no msat is lost.

`tests/long` does it with many more sessions, and on PostgreSQL.
"""

from tests.conftest import Database
from tests.process.kills import end_well
from tests.process.spender import spend_under_kills
from tests.process.world import open_stub_world


async def test_sessions_that_spend_survive_kills(sqlite_database: Database) -> None:
    async with open_stub_world(sqlite_database) as world:
        await spend_under_kills(world, sessions=12, requests=6, kills=3)
        await end_well(world)
