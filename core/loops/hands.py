"""Hands: work beside each other, one piece at a time for each key."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

import structlog

from core.values.errors import Unavailable

log = structlog.get_logger(__name__)


class Hands:
    """The running work of one loop. What fails is still in the books, and is found there again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.freed = asyncio.Event()  # raised when a piece has ended

    @property
    def busy(self) -> frozenset[str]:
        """The keys that are worked on."""
        return frozenset(self._tasks)

    def start(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin a piece; none is running under this key."""
        task = self._tasks[key] = asyncio.create_task(work, name=f"{self._what} {key}")
        task.add_done_callback(partial(self._ended, key))

    async def aclose(self) -> None:
        """Stop all work where it stands."""
        running = list(self._tasks.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        self.freed.set()
        fault = None if task.cancelled() else task.exception()
        if isinstance(fault, Unavailable):  # an outside party's fault is one line, no traceback
            log.warning("work put off", what=self._what, reason=fault.reason)
        elif fault is not None:
            log.error("work died", what=self._what, exc_info=fault)
