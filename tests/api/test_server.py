"""Connections that stall, and those beside them that must not notice."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from api.edge import Edge
from api.receive import read_body
from api.server import CannotListen, Deadlines, Listener, listen
from core.config_values import Listen
from tests.api.wire import wire_to

HURRY = Deadlines(head_s=0.3, keepalive_s=5, linger_s=0.2)


async def read(request: web.Request) -> web.Response:
    body = await read_body(request, 65_536, within_s=0.3)
    return web.Response(text=str(len(body)))


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


@asynccontextmanager
async def serving(
    *routes: web.RouteDef, deadlines: Deadlines = HURRY, connections_max: int = 2000
) -> AsyncIterator[Listener]:
    app = web.Application()
    Edge().install(app)
    app.add_routes([web.get("/hello", hello), web.post("/read", read), *routes])
    listener = await listen(
        app, Listen("127.0.0.1", 0), deadlines=deadlines, connections_max=connections_max
    )
    try:
        yield listener
    finally:
        await listener.aclose(within_s=0)


@pytest.mark.parametrize(
    "opening",
    ["", "GET /hel", "GET /hello HTTP/1.1\r\nHost: a\r\n", "\r\n\r\n"],
    ids=["silent", "half a line", "half a head", "empty lines"],
)
async def test_a_connection_without_a_whole_head_is_closed(opening):
    async with serving() as server, wire_to(server.port) as wire:
        await wire.send(opening)

        assert await wire.closed(within_s=2) == b""


async def test_a_head_that_drips_is_closed_all_the_same():
    async with serving() as server, wire_to(server.port) as wire:
        await wire.send("GET /hello HTTP/1.1\r\n")
        closed = asyncio.create_task(wire.closed(within_s=2))
        started = time.monotonic()
        while not closed.done():
            await wire.send("X-Drip: 1\r\n")
            await asyncio.wait([closed], timeout=0.05)

        assert time.monotonic() - started < 1.5


async def test_a_second_head_has_the_same_deadline_as_the_first():
    async with serving() as server, wire_to(server.port) as wire:
        await wire.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        await wire.head()
        await wire.send("GET /hello HTT")

        assert await wire.closed(within_s=2) == b"hello"


async def test_an_idle_connection_outlives_the_deadline_for_heads():
    async with serving() as server, wire_to(server.port) as wire:
        for _ in range(2):
            await wire.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            assert "200 OK" in await wire.head()
            await wire.reader.readexactly(5)

            with pytest.raises(TimeoutError):
                await wire.closed(within_s=0.5)


@pytest.mark.parametrize("length", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_stalled_body_is_closed(length):
    async with serving() as server, wire_to(server.port) as wire:
        await wire.send(f"POST /read HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n")
        await wire.send("4\r\nabcd\r\n")

        assert await wire.closed(within_s=3) == b""


async def test_a_body_that_nobody_reads_does_not_hold_the_connection():
    async with serving() as server, wire_to(server.port) as wire:
        await wire.send("GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")

        assert "200 OK" in await wire.head()
        assert await wire.closed(within_s=2) == b"hello"


async def test_a_slow_handler_is_not_taken_for_a_slow_client():
    async def slow(_request: web.Request) -> web.Response:
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(2 * HURRY.head_s, done.set)
        await done.wait()
        return web.Response(text="done")

    async with serving(web.get("/slow", slow)) as server, wire_to(server.port) as wire:
        await wire.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")

        assert "200 OK" in await wire.head()


async def test_five_hundred_stalled_connections_do_not_harm_others():
    async with serving(deadlines=Deadlines()) as server, AsyncExitStack() as stack:
        for number in range(500):
            wire = await stack.enter_async_context(wire_to(server.port))
            await wire.send(
                ["", "GET /he", "POST /read HTTP/1.1\r\nContent-Length: 9\r\n\r\n"][number % 3]
            )
        session = await stack.enter_async_context(aiohttp.ClientSession())

        took = []
        for _ in range(50):
            started = time.monotonic()
            async with session.get(f"http://127.0.0.1:{server.port}/hello") as answer:
                assert answer.status == 200
            took.append(time.monotonic() - started)

        assert max(took) < 0.5


async def test_a_full_house_shows_out_who_waits_longest_without_asking():
    async with (
        serving(deadlines=Deadlines(), connections_max=3) as server,
        wire_to(server.port) as busy,
        wire_to(server.port) as silent,
        wire_to(server.port) as lately,
    ):
        for wire in (silent, lately, busy):
            await wire.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            await wire.head()
        async with wire_to(server.port) as newcomer:
            await newcomer.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")

            assert "200 OK" in await newcomer.head()
            assert await silent.closed(within_s=2) == b"hello"


async def test_what_is_no_http_gets_a_problem_and_the_door():
    async with serving() as server, wire_to(server.port) as wire:
        await wire.send("HELO example.org\r\n\r\n")

        head = await wire.head()
        body = await wire.closed()

    assert "400 Bad Request" in head
    assert "application/problem+json" in head
    assert "X-Request-Id: " in head
    assert "aiohttp" not in head
    assert b'"code":"invalid_request"' in body


async def test_a_head_that_is_too_long_gets_a_problem():
    async with serving() as server, wire_to(server.port) as wire:
        await wire.send("GET /hello HTTP/1.1\r\nX-Long: " + "a" * 20_000 + "\r\n\r\n")

        assert "400 Bad Request" in await wire.head()


async def test_closing_waits_for_running_requests():
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        began.set()
        await go_on.wait()
        return web.Response(text="done")

    async with serving(web.get("/slow", slow)) as server, wire_to(server.port) as wire:
        await wire.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(began.wait(), 5)
        closing = asyncio.create_task(server.aclose(within_s=1))
        asyncio.get_running_loop().call_later(0.2, go_on.set)

        assert "200 OK" in await wire.head()
        await asyncio.wait_for(closing, 5)


async def test_closing_waits_no_longer_than_its_grace():
    began = asyncio.Event()

    async def stuck(_request: web.Request) -> web.Response:
        began.set()
        await asyncio.Event().wait()
        return web.Response()

    async with serving(web.get("/stuck", stuck)) as server, wire_to(server.port) as wire:
        await wire.send("GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(began.wait(), 5)

        await asyncio.wait_for(server.aclose(within_s=1), 4)


async def test_an_address_that_is_taken_is_named():
    async with serving() as server:
        taken = Listen("127.0.0.1", server.port)

        with pytest.raises(CannotListen, match=str(taken)):
            await listen(web.Application(), taken)
