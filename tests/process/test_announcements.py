"""One payment, announced by everybody at once and across a crash, is one credit."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from core.app import webhook_secret
from core.values.keys import parse_secret
from tests.conftest import Database
from tests.process.customer import Customer
from tests.process.kills import end_well
from tests.process.server import Program
from tests.process.world import World, open_world, rows, writes_held

SECRET = "5e" * 32
HOOK = f"/hooks/lnbits/{webhook_secret(parse_secret(SECRET))}"
MANY = 50


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with open_world(database, BOLTWORK_SERVER__SECRET=SECRET) as opened:
        yield opened


async def announce(program: Program, payment_hash: str) -> None:
    """One webhook as LNbits sends it (a JSON string that holds JSON), to a server that may die."""
    try:
        reply = await program.post(HOOK, json.dumps({"payment_hash": payment_hash}))
    except aiohttp.ClientError:
        return
    assert reply.status == 202


async def wait_for_payment(customer: Customer) -> str:
    """Poll until the job has moved, over restarts too; the state that was seen first."""
    while True:
        try:
            job = await customer.look("?wait=60&state=awaiting_eval_payment")
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)  # the server is being started again
            continue
        if job["state"] != "awaiting_eval_payment":
            return str(job["state"])


async def test_a_payment_announced_many_times_across_a_crash_is_credited_once(world: World) -> None:
    customer = Customer(world.program, world.pay)
    await customer.order()
    payment_hash = (await customer.look())["evalInvoice"]["paymentHash"]
    polls = [asyncio.create_task(wait_for_payment(customer)) for _ in range(MANY)]

    async with writes_held(world.database):
        await world.pay(payment_hash)
        await asyncio.gather(*(announce(world.program, payment_hash) for _ in range(MANY // 2)))
        late = [
            asyncio.create_task(announce(world.program, payment_hash)) for _ in range(MANY // 2)
        ]
        world.program.kill()
    await asyncio.gather(*late)
    await world.program.start()
    await asyncio.gather(*(announce(world.program, payment_hash) for _ in range(MANY)))

    states = await asyncio.wait_for(asyncio.gather(*polls), 30)
    assert set(states) <= {"evaluating", "awaiting_work_payment"}
    await customer.see_it_through()
    credited = await rows(
        world.database,
        "SELECT transfer_id FROM transfers WHERE transfer_id = :transfer_id",
        transfer_id=f"settle:{payment_hash}",
    )
    assert len(credited) == 1
    assert [call.is_evaluation for call in world.model.calls] == [True, False]
    await end_well(world)


async def test_an_announcement_of_what_was_not_paid_credits_nothing(world: World) -> None:
    customer = Customer(world.program, world.pay)
    await customer.order()
    payment_hash = (await customer.look())["evalInvoice"]["paymentHash"]

    await asyncio.gather(*(announce(world.program, payment_hash) for _ in range(MANY)))
    await world.lnbits.wait_for_calls("status", 1)
    await world.program.settle_down()

    assert (await customer.look())["state"] == "awaiting_eval_payment"
    assert len(world.lnbits.calls_of("status")) <= 5, "hints must not become a storm at the wallet"
    await customer.see_it_through()
    await end_well(world)
