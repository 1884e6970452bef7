"""Waiting ends with what was waited for, or with the server."""

import asyncio

import pytest

from api.patience import unless_stopped


async def test_what_is_waited_for_comes_back():
    async def soon() -> str:
        return "paid"

    assert await unless_stopped(soon(), asyncio.Event()) == "paid"


async def test_a_stopping_server_waits_for_nothing_and_leaves_nothing_running():
    stopping, has_ended = asyncio.Event(), asyncio.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            has_ended.set()

    waiting = asyncio.ensure_future(unless_stopped(never(), stopping))
    await asyncio.sleep(0)

    stopping.set()

    assert await waiting is None
    async with asyncio.timeout(1):
        await has_ended.wait()


async def test_a_failure_of_what_is_waited_for_is_told():
    async def broken() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await unless_stopped(broken(), asyncio.Event())
