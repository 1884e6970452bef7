"""A customer's end of a stream: it is kept alive, looked at, and not waited for for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from api.v1_stream import COMMENT, Connection

Handler = Callable[[Connection], Awaitable[None]]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Serve streams that this handler writes; the address of the server."""
    runners: list[web.AppRunner] = []

    async def serving(handler: Handler) -> str:
        async def handle(request: web.Request) -> web.StreamResponse:
            with Connection(request, {}, keep_alive_s=0.1).watched() as connection:
                await handler(connection)
                return await connection.end()

        app = web.Application()
        app.router.add_get("/", handle)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runners[-1].addresses[0][1]}"

    yield serving
    for runner in runners:
        await runner.cleanup()


async def test_silence_is_broken_by_comments_before_the_first_event_too(serve):
    go_on = asyncio.Event()

    async def slowly(connection: Connection) -> None:
        await go_on.wait()
        await connection.send(b"data: 1\n\n")

    async with aiohttp.ClientSession() as session, session.get(await serve(slowly)) as answer:
        assert await answer.content.readexactly(len(COMMENT)) == COMMENT
        go_on.set()
        rest = await answer.read()

    assert rest.replace(COMMENT, b"") == b"data: 1\n\n"


async def test_a_customer_who_hangs_up_ends_the_work_though_nothing_is_written(serve):
    begun, ended = asyncio.Event(), asyncio.Event()
    found: list[Connection] = []

    async def forever(connection: Connection) -> None:
        found.append(connection)
        await connection.send(b"data: 1\n\n")
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    url = await serve(forever)
    async with aiohttp.ClientSession() as session:
        answer = await session.get(url)
        await begun.wait()
        answer.close()
        async with asyncio.timeout(2):
            await ended.wait()

    assert found[0].is_gone
    assert found[0].has_begun
