"""kill -9 at steps of a payout: what is owed arrives, once, whoever was killed on the way.

`tests/long` kills at every step, of jobs and of sessions, on both databases, and at random.
"""

import json

from core.values.clock import SystemClock
from tests.conftest import Database
from tests.process.kills import end_well
from tests.process.payout_points import (
    KINDS,
    POINTS,
    kill_after_a_claim,
    kill_payout_at,
    kill_while_an_address_is_asked,
)
from tests.process.world import open_world
from tests.simulator.receiver import SimulatedReceiver

LINKS = {"BOLTWORK_SERVER__PUBLIC_URL": "https://shop.example"}


async def test_payouts_survive_kills_around_the_call_to_the_wallet(
    sqlite_database: Database,
) -> None:
    async with open_world(sqlite_database) as world:
        for point, kind in zip(POINTS[-3:], ("job", "session", "job"), strict=True):
            await kill_payout_at(world, point, KINDS[kind])
        await end_well(world)


async def test_what_is_claimed_or_goes_by_itself_survives_kills(
    sqlite_database: Database,
) -> None:
    async with SimulatedReceiver(now_ms=SystemClock().now_ms, network="mainnet") as receiver:
        hosts = {"BOLTWORK_REFUNDS__LNURL_INSECURE_HOSTS": json.dumps([receiver.host])}
        async with open_world(sqlite_database, **LINKS, **hosts) as world:
            await kill_after_a_claim(world)
            await kill_while_an_address_is_asked(world, receiver)
            await end_well(world)
