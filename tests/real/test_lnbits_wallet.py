"""The LNbits wallet against real LNbits: the contract of all wallets, and how soon it hears."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from core.values.clock import SystemClock
from core.wallets.lnbits import LnbitsWallet
from core.wallets.port import NotPaid, Unknown
from tests.real.lnbits_server import RealLnbits
from tests.wallets import contract
from tests.wallets.contract import World, caught_up, listening, make, of

NEVER_S = 3_600.0


@asynccontextmanager
async def world_at(lnbits: RealLnbits, **more: Any) -> AsyncIterator[World]:
    settings: dict[str, Any] = {
        "url": lnbits.url,
        "invoice_key": lnbits.new_wallet().invoice_key,
        "network": "mainnet",  # which is what the invoices of FakeWallet say
        "clock": SystemClock(),
    }
    wallet = LnbitsWallet(**{**settings, **more})
    try:
        yield World(wallet, "mainnet", lambda invoice: lnbits.pay(invoice.bolt11))
    finally:
        await wallet.aclose()


@asynccontextmanager
async def proxy_without_sockets(target: str) -> AsyncIterator[str]:
    """The address of a proxy that passes everything on but websockets, as some proxies do."""

    async def pass_on(request: web.Request) -> web.Response:
        if request.path.startswith("/api/v1/ws/"):
            return web.Response(status=403)
        async with session.request(
            request.method,
            target + request.path_qs,
            headers={name: request.headers[name] for name in ("X-Api-Key",)},
            json=await request.json() if request.can_read_body else None,
        ) as answer:
            body = await answer.read()
            return web.Response(status=answer.status, body=body, content_type=answer.content_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("fact", contract.FACTS, ids=contract.name_of)
async def test_the_contract_of_wallets(lnbits, fact):
    async with world_at(lnbits) as world:
        await fact(world)


async def test_a_push_is_heard_within_300_ms_of_the_payment(lnbits):
    async with world_at(lnbits, catch_up_s=NEVER_S) as world, listening(world) as heard:
        await caught_up(heard)
        await caught_up(heard)  # the round that the opening of the socket brings
        waited_s = []
        for _ in range(5):
            made = await make(world)
            paid = asyncio.create_task(world.pay(made))
            settlement = await of(made, heard)
            waited_s.append(time.time() - settlement.settled_at_ms / 1000)
            await paid

    # The machine that runs the tests may stall once; the wallet may not.
    assert sorted(waited_s)[2] < 0.3


async def test_without_a_socket_a_payment_is_heard_within_5_s(lnbits):
    async with (
        proxy_without_sockets(lnbits.url) as url,
        world_at(lnbits, url=url) as world,
        listening(world) as heard,
    ):
        await caught_up(heard)
        made = await make(world)
        await world.pay(made)
        began_s = time.monotonic()
        await of(made, heard)

    assert time.monotonic() - began_s < 5


async def test_fifty_payments_at_once_are_all_heard_from_one_socket(lnbits):
    async with world_at(lnbits, catch_up_s=NEVER_S, requests_per_minute=600) as world:
        made = [await make(world) for _ in range(50)]
        missing = {invoice.payment_hash for invoice in made}
        async with listening(world) as heard:
            await caught_up(heard)
            await caught_up(heard)
            payments = asyncio.gather(*(world.pay(invoice) for invoice in made))
            while missing:
                news = await anext(heard)
                missing -= {news.payment_hash} if news else set()
            await payments


async def test_an_invoice_is_made_although_lnbits_may_refuse_the_webhook(lnbits):
    async with world_at(lnbits, webhook_url="http://127.0.0.1:1/hook") as world:
        made = await make(world)

        assert await world.wallet.look_up(made.payment_hash) == NotPaid()


@pytest.mark.parametrize("key", ["nobody's", "another wallet's"])
async def test_a_wrong_key_proves_nothing(lnbits, key):
    wrong = "0" * 32 if key == "nobody's" else lnbits.buyer.invoice_key
    async with world_at(lnbits) as world, world_at(lnbits, invoice_key=wrong) as stranger:
        made = await make(world)

        assert isinstance(await stranger.wallet.look_up(made.payment_hash), Unknown)


async def test_an_invoice_that_expired_is_not_paid_at_that_moment(lnbits):
    async with world_at(lnbits) as world:
        made = await make(world, expiry_s=1)
        await asyncio.sleep(max(made.expires_at_ms / 1000 - time.time(), 0) + 0.1)

        assert await world.wallet.look_up(made.payment_hash) == NotPaid()
