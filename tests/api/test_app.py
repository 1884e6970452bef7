"""Opening and closing the doors."""

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from api.app import serve_api
from api.server import CannotListen
from core.app import open_core
from core.config import load


def settings(tmp_path, **more):
    environ = {
        "SERVER__DATA_DIR": str(tmp_path),
        "SERVER__LISTEN": "127.0.0.1:0",
        "OPERATOR__LISTEN": "127.0.0.1:0",
        **more,
    }
    return load(None, {f"BOLTWORK_{name}": text for name, text in environ.items()})


@asynccontextmanager
async def customer(port: int):
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session


async def test_closing_ends_long_polls_and_streams_with_an_answer(tmp_path):
    config = settings(tmp_path)
    async with open_core(config) as core, AsyncExitStack() as stack:
        doors = await stack.enter_async_context(serve_api(core, config))
        async with customer(doors.port) as session:
            ordered = await session.post("/jobs", json={"request": "x"})
            path = f"/jobs/{(await ordered.json())['jobId']}"
            stream = await session.get(f"{path}/events")
            await stream.content.readuntil(b"\n\n")
            poll = asyncio.create_task(session.get(f"{path}?wait=60"))
            await asyncio.wait([poll], timeout=0.2)
            began = time.monotonic()

            await stack.aclose()

            answer = await poll
            assert (answer.status, (await answer.json())["state"]) == (200, "awaiting_eval_payment")
            assert await stream.content.read() == b""
            assert time.monotonic() - began < 2
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get("/healthz")


async def test_a_request_that_runs_is_answered_before_the_doors_close(tmp_path):
    config = settings(tmp_path)
    async with open_core(config) as core, AsyncExitStack() as stack:
        doors = await stack.enter_async_context(serve_api(core, config))
        async with customer(doors.port) as session:
            orders = [
                asyncio.create_task(session.post("/jobs", json={"request": str(number)}))
                for number in range(20)
            ]
            await asyncio.wait(orders, return_when=asyncio.FIRST_COMPLETED)

            await stack.aclose()

            answers = await asyncio.gather(*orders, return_exceptions=True)
            assert {answer.status for answer in answers if not isinstance(answer, Exception)} == {
                201
            }


@pytest.mark.parametrize("which", ["SERVER__LISTEN", "OPERATOR__LISTEN"])
async def test_an_address_that_is_taken_leaves_nothing_open(tmp_path, which):
    async with AsyncExitStack() as stack:
        config = settings(tmp_path / "first")
        core = await stack.enter_async_context(open_core(config))
        doors = await stack.enter_async_context(serve_api(core, config))
        taken = {
            "SERVER__LISTEN": f"127.0.0.1:{doors.port}",
            "OPERATOR__LISTEN": f"127.0.0.1:{doors.operator_port}",
        }
        second = settings(tmp_path / "second", **{which: taken[which]})
        other = await stack.enter_async_context(open_core(second))

        with pytest.raises(CannotListen, match=taken[which]):
            await stack.enter_async_context(serve_api(other, second))

        async with customer(doors.port) as session:
            assert (await session.get("/healthz")).status == 200
