"""The same Idempotency-Key, many times at once, across a crash and from strangers."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conftest import Database
from tests.process.server import Reply
from tests.process.world import World, new_request, open_world, rows
from tests.simulator.lnbits_faults import Fault

KEY = "a-key-of-one-customer"
MANY = 50
ORDER = b"POST /api/v1/payments"
PROXY = {"BOLTWORK_SERVER__TRUSTED_PROXIES": '["127.0.0.1"]'}


@pytest.fixture
async def world(sqlite_database: Database) -> AsyncIterator[World]:
    async with open_world(sqlite_database, **PROXY) as opened:
        yield opened


async def order(world: World, request: str, *, key: str = KEY, client: str = "192.0.2.1") -> Reply:
    return await world.program.post(
        "/jobs", {"request": request}, Idempotency_Key=key, X_Forwarded_For=client
    )


async def jobs_in(world: World) -> list[str]:
    return [row["job_id"] for row in await rows(world.database, "SELECT job_id FROM jobs")]


async def test_a_key_sent_many_times_at_once_is_one_job_across_a_crash(
    database: Database,
) -> None:
    async with open_world(database, **PROXY) as world:
        await send_many_times(world)


async def send_many_times(world: World) -> None:
    request = new_request()
    held = world.wallet_gate.hold_answer(ORDER)
    first = asyncio.create_task(order(world, request))
    await held.reached()

    others = await asyncio.gather(*(order(world, request) for _ in range(MANY - 1)))
    changed = await order(world, request + "!")
    held.let_go()
    answer = await first

    assert {(reply.status, reply.headers.get("Retry-After")) for reply in others} == {(409, "1")}
    assert {reply.json()["code"] for reply in others} == {"request_in_progress"}
    assert changed.status == 422
    assert changed.json()["code"] == "idempotency_key_reused"
    assert answer.status == 201
    assert "Idempotency-Replayed" not in answer.headers

    again = await asyncio.gather(*(order(world, request) for _ in range(MANY)))
    await world.program.restart()
    again.append(await order(world, request))

    assert {(reply.status, reply.body) for reply in again} == {(201, answer.body)}
    assert {reply.headers["Idempotency-Replayed"] for reply in again} == {"true"}
    assert {reply.headers["Location"] for reply in again} == {answer.headers["Location"]}
    assert (await order(world, request + "!")).status == 422
    assert await jobs_in(world) == [answer.json()["jobId"]]
    assert len(world.lnbits.calls_of("create")) == 1


async def test_many_at_once_without_anybody_in_the_way_are_one_job(world: World) -> None:
    request = new_request()

    replies = await asyncio.gather(*(order(world, request) for _ in range(MANY)))

    bodies = {reply.body for reply in replies if reply.status == 201}
    assert len(bodies) == 1
    assert {reply.status for reply in replies} <= {201, 409}
    assert len(await jobs_in(world)) == 1
    assert len(world.lnbits.calls_of("create")) == 1


async def test_a_stranger_with_the_same_key_gets_nothing_of_it(world: World) -> None:
    request = new_request()
    mine = await order(world, request)

    from_elsewhere = await order(world, request, client="192.0.2.2")
    with_another_key = await order(world, request, key=KEY + "-2")
    by_header = await world.program.post(
        "/jobs",
        {"request": request},
        Idempotency_Key=KEY,
        X_Forwarded_For="192.0.2.1, 192.0.2.3",
    )

    strangers = [from_elsewhere, with_another_key, by_header]
    assert [reply.status for reply in strangers] == [201] * 3
    assert not any("Idempotency-Replayed" in reply.headers for reply in strangers)
    assert len({reply.json()["jobToken"] for reply in [mine, *strangers]}) == 4
    assert len(await jobs_in(world)) == 4


async def test_a_key_whose_request_failed_is_free(world: World) -> None:
    request = new_request()
    world.lnbits.fail("create", Fault("500"))

    failed = await order(world, request)
    second = await order(world, request + "!")
    third = await order(world, request)

    assert failed.status == 503
    assert failed.json()["code"] == "wallet_unavailable"
    assert "Retry-After" in failed.headers
    assert second.status == 201
    assert "Idempotency-Replayed" not in second.headers
    assert third.status == 422
    assert await jobs_in(world) == [second.json()["jobId"]]
