"""What is due: the shape of a loop that serves rows as their time comes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from core.store.bulletin import News
from core.values.clock import Clock

LOOK_S = 5.0  # another process may have made something due without our hearing


async def serve_what_is_due(
    news: News,
    clock: Clock,
    *,
    next_ms: Callable[[], Awaitable[int | None]],
    serve: Callable[[], Awaitable[None]],
) -> None:
    """Serve whenever `next_ms` lies in the past, for ever; looks again at every piece of news."""
    while True:
        due_ms = await next_ms()
        wait_s = LOOK_S if due_ms is None else (due_ms - clock.now_ms()) / 1000
        if wait_s > 0:
            await news.wait(min(LOOK_S, wait_s))
        else:
            await serve()


async def all_to_their_end(works: Iterable[Awaitable[None]]) -> None:
    """Do all of it side by side, then raise the first fault: no fault cuts the others off."""
    ended = await asyncio.gather(*works, return_exceptions=True)
    for fault in ended:
        if fault is not None:
            raise fault
