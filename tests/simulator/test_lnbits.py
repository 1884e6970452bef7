"""The simulated LNbits where the real one cannot be asked: webhooks, payouts that go wrong."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.lnbits_books import PaymentRefused

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 20.0


@asynccontextmanager
async def hook() -> AsyncIterator[tuple[str, asyncio.Queue[Any]]]:
    """An address, and what is posted there."""
    posted: asyncio.Queue[Any] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        await posted.put(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", posted
    await runner.cleanup()


async def test_a_webhook_comes_twice_and_is_a_json_string_in_json():
    async with SimulatedLnbits(allow_private_webhooks=True) as sim, hook() as (address, posted):
        made = sim.books.invoice(
            sim.books.shop, sats=5, memo="x", expiry_s=600, extra={}, webhook=address
        )
        await sim.pay(made.payment_hash)
        async with asyncio.timeout(PATIENCE_S):
            bodies = [await posted.get() for _ in range(2)]

    assert {type(body) for body in bodies} == {str}
    assert {json.loads(body)["payment_hash"] for body in bodies} == {made.payment_hash}


async def test_a_payout_that_failed_may_turn_out_to_have_succeeded():
    async with SimulatedLnbits() as sim:
        buyer, text = sim.books.buyer, sim.books.foreign_invoice(100)
        before_msat = sim.books.balance_msat(buyer)
        sim.books.outcome_abroad = "failed"
        with pytest.raises(PaymentRefused, match="no route"):
            sim.books.pay(buyer, text, {})
        (payment,) = sim.books.payments
        assert sim.books.balance_msat(buyer) == before_msat

        sim.books.finish(payment.payment_hash, "success")

        assert sim.books.balance_msat(buyer) == before_msat - 100_000 - sim.books.fee_abroad_msat
        (movement,) = sim.books.movements
        assert movement.amount_msat == -101_000


async def test_a_pending_payout_holds_its_reserve():
    async with SimulatedLnbits() as sim:
        buyer = sim.books.buyer
        before_msat = sim.books.balance_msat(buyer)
        sim.books.outcome_abroad = "pending"

        payment = sim.books.pay(buyer, sim.books.foreign_invoice(100), {})

        assert payment.status == "pending"
        assert sim.books.balance_msat(buyer) == before_msat - 100_000 - 2_000
        assert sim.books.movements == []


@asynccontextmanager
async def simulator_process() -> AsyncIterator[tuple[asyncio.subprocess.Process, Any]]:
    """The process, and what it says when it has started."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.simulator.lnbits_process"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield process, json.loads(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_runs_as_a_process_that_is_moved_over_http():
    async with simulator_process() as (process, started), aiohttp.ClientSession() as session:
        key = {"X-Api-Key": started["shop"]["invoice_key"]}
        order = {"out": False, "amount": 5}

        async with session.post(f"{started['url']}/api/v1/payments", json=order, headers=key) as r:
            made = await r.json()
        paid = {"payment_hash": made["payment_hash"]}
        async with session.post(f"{started['control']}/pay", json=paid) as r:
            moved = await r.json()
        async with session.get(f"{started['control']}/journal") as r:
            journal = await r.json()
        process.terminate()
        exit_code = await process.wait()

    assert exit_code == 0
    assert moved == {"moved": True}
    assert [call["name"] for call in journal["calls"]] == ["create"]
    assert [m["amount_msat"] for m in journal["movements"]] == [-5_000, 5_000]
