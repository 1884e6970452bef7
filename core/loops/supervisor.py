"""The supervisor: background loops that never end, and are never lost.

A loop that dies is logged, makes the process not ready, and is started again.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from core.values.clock import Clock
from core.values.errors import Unavailable

RESTART_S = 1.0

log = structlog.get_logger(__name__)

Loop = Callable[[], Awaitable[None]]


async def outlive(work: Awaitable[None], what: str, **about: object) -> bool:
    """Do one piece of work whose own mistake must not stop the others; False where it died.

    Raises Unavailable: somebody outside is away, and the work can be tried again.
    """
    try:
        await work
    except Unavailable:
        raise
    except Exception:
        log.exception("work died", what=what, **about)
        return False
    return True


class Supervisor:
    """Runs the loops of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self._down: set[str] = set()

    def start(self, name: str, loop: Loop) -> None:
        """Run this loop until `aclose`."""
        self._tasks.append(asyncio.create_task(self._keep_running(name, loop), name=name))

    @property
    def down(self) -> frozenset[str]:
        """The loops that have died and not yet been started again."""
        return frozenset(self._down)

    async def aclose(self) -> None:
        """Stop all loops where they stand; what they were at is safe in the books."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_running(self, name: str, loop: Loop) -> None:
        while True:
            try:
                self._down.discard(name)
                await loop()
                log.error("loop ended", loop=name)
            except Unavailable as fault:  # an outside party's fault is one line, no traceback
                log.warning("loop stopped", loop=name, reason=fault.reason)
            except Exception:  # a loop's fault must cost neither the other loops nor its own life
                log.exception("loop died", loop=name)
            self._down.add(name)
            await self._clock.sleep(RESTART_S)
