"""The pump: group commit, the same for both databases.

Every write is a transaction function that waits in one queue; the pump hands all that wait to the
driver as one batch, which runs in one database transaction with one commit, and resolves their
futures together. There is no artificial delay: a batch forms by itself while the one before is
being made durable. A batch in which something unexpected happens is rolled back whole and its
members run again one by one, so that each gets its own outcome.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.store.bulletin import Bulletin
from core.store.port import Tx
from core.values.errors import DatabaseUnavailable, Refused, ShuttingDown

BATCH_MAX = 512


@dataclass(slots=True, eq=False)
class Pending:
    """A transaction function that waits for its turn."""

    fn: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    future: asyncio.Future[Any]

    def start(self, tx: Tx) -> Awaitable[Any]:
        """Call the function; the driver decides how its coroutine is run."""
        return self.fn(tx, *self.args, **self.kwargs)


@dataclass(frozen=True, slots=True)
class Done:
    """What a function returned, and whom its commit wakes."""

    value: Any
    topics: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Declined:
    """The function refused before it changed anything."""

    refusal: Refused


Outcome = Done | Declined


RunBatch = Callable[[Sequence[Pending]], Awaitable[list[Outcome]]]


class Pump:
    """Collects writes and runs them in batches through `run_batch`.

    `run_batch` commits and returns one outcome for each member in their order, or raises and has
    then kept nothing.
    """

    def __init__(self, run_batch: RunBatch, bulletin: Bulletin) -> None:
        self._run_batch = run_batch
        self._bulletin = bulletin
        self._waiting: deque[Pending] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._task = asyncio.create_task(self._run(), name="store pump")

    async def submit(
        self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Queue a function and wait for its outcome; giving up the wait does not unqueue it."""
        self.check_open()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(Pending(fn, args, kwargs, future))
        self._wake.set()
        return await future

    def check_open(self) -> None:
        """Raise ShuttingDown once closing has begun."""
        if self._closed:
            raise ShuttingDown("the store is closed")

    async def aclose(self) -> None:
        """Run what is queued, then stop."""
        self._closed = True
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        while self._waiting or not self._closed:
            if not self._waiting:
                await self._wake.wait()
                self._wake.clear()
                continue
            size = min(BATCH_MAX, len(self._waiting))
            await self._serve([self._waiting.popleft() for _ in range(size)])

    async def _serve(self, batch: Sequence[Pending]) -> None:
        # Gathered so that a failure is looked at, not caught: it belongs to the callers. A function
        # that cancels itself must not cancel the pump with it.
        [outcomes] = await asyncio.gather(self._run_batch(batch), return_exceptions=True)
        if not isinstance(outcomes, BaseException):
            self._resolve(batch, outcomes)
        elif len(batch) == 1 or isinstance(outcomes, DatabaseUnavailable):
            for pending in batch:
                if not pending.future.done():
                    pending.future.set_exception(outcomes)
        else:
            for pending in batch:
                await self._serve([pending])

    def _resolve(self, batch: Sequence[Pending], outcomes: Sequence[Outcome]) -> None:
        topics: set[str] = set()
        for pending, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Done):
                topics.update(outcome.topics)
            if pending.future.done():  # its caller gave up; the commit stands
                continue
            match outcome:
                case Done(value):
                    pending.future.set_result(value)
                case Declined(refusal):
                    pending.future.set_exception(refusal)
        self._bulletin.post(topics)
