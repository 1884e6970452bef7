"""Work that outlives the customer who asked for it: it belongs to the core, not to a connection."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from core.values.errors import BoltworkError

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Running:
    """All such work of one process; tasks are kept here, for the loop itself forgets them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin, whatever becomes of the caller."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not isinstance(fault, BoltworkError):
            log.error("work died", exc_info=fault)  # whoever asked may have left

    async def here(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it in the caller's task, which nobody cancels but `drain`; that is cheaper."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await work
        finally:
            self._tasks.discard(task)

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Begin and wait for the end; a caller who is cancelled leaves the work running."""
        return await asyncio.shield(self.start(work))

    async def drain(self, grace_s: float) -> None:
        """Let all work end within the grace, then stop what is left; that cleans up behind it."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_s)
        while left := set(self._tasks):
            for task in left:
                task.cancel()
            await asyncio.wait(left)
