"""Waiting for a change, as long as the server runs."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


async def unless_stopped(waiting: Coroutine[Any, Any, R], stopping: asyncio.Event) -> R | None:
    """What is waited for, or None as soon as the server stops."""
    change = asyncio.ensure_future(waiting)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([change, stop], return_when=asyncio.FIRST_COMPLETED)
        return await change if change.done() else None
    finally:
        change.cancel()
        stop.cancel()
