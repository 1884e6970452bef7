"""A customer's end of a streamed completion.

aiohttp tells a handler that its client has gone only when it writes, so a timer looks: it ends the
handler's task within half a second, keeps a silent stream alive by comments, and gives up on who
does not take what was sent. Between these looks a chunk costs one write.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Self

from aiohttp import web

from core.desk.listeners import HungUp

LOOK_S: Final = 0.5
KEEP_ALIVE_S: Final = 15.0
WRITE_S: Final = 30.0  # who does not take a piece in this time is not waited for
COMMENT: Final = b": keep-alive\n\n"


class Connection:
    """Where the events of one stream go; begins the answer with the first of them."""

    def __init__(
        self, request: web.Request, headers: dict[str, str], *, keep_alive_s: float = KEEP_ALIVE_S
    ) -> None:
        self._request = request
        self._response = web.StreamResponse(headers=headers)
        self._keep_alive_s = keep_alive_s
        self._beginning = asyncio.Lock()
        self._sent_at = time.monotonic()
        self._is_writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None
        self.is_gone = False

    @property
    def has_begun(self) -> bool:
        """Whether the head of the answer has left."""
        return self._response.prepared

    @contextmanager
    def watched(self) -> Iterator[Self]:
        """Look at the connection while the block runs; cancel the block when nobody is there."""
        task = asyncio.current_task()
        assert task is not None
        self._look_later(task)
        try:
            yield self
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._comment is not None:
                self._comment.cancel()

    async def send(self, events: bytes) -> None:
        """Send whole events. Raises HungUp."""
        self._is_writing = True
        self._sent_at = time.monotonic()
        try:
            if not self._response.prepared:
                await self._begin()
            await self._response.write(events)
        except ConnectionError:
            self.is_gone = True
            raise HungUp from None
        finally:
            self._is_writing = False

    async def end(self) -> web.StreamResponse:
        """End the answer. Raises HungUp."""
        try:
            await self._response.write_eof()
        except ConnectionError:
            raise HungUp from None
        return self._response

    async def _begin(self) -> None:
        async with self._beginning:
            if not self._response.prepared:
                await self._response.prepare(self._request)

    def _look_later(self, task: "asyncio.Task[object]") -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look, task)

    def _look(self, task: "asyncio.Task[object]") -> None:
        now_s = time.monotonic()
        is_stuck = self._is_writing and now_s - self._sent_at > WRITE_S
        if self._request.transport is None or is_stuck:
            self.is_gone = True
            task.cancel()
            return
        if not self._is_writing and now_s - self._sent_at >= self._keep_alive_s:
            self._comment = asyncio.get_running_loop().create_task(self._keep_alive())
        self._look_later(task)

    async def _keep_alive(self) -> None:
        with suppress(HungUp):  # the next look sees it
            await self.send(COMMENT)
