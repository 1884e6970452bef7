"""A job's changes as Server-Sent Events (WHATWG HTML, section 9.2).

Every version of the job is an event with its number as `id`, so that `Last-Event-ID` resumes
without loss; live text between versions is not numbered and not repeated.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, assert_never

from aiohttp import web

from api.edge import ClientGone
from api.views import RefundView, delta_view, job_view, refund_view
from core.books.jobs import Job
from core.loops.live import WorkDelta
from core.values.clock import Clock
from core.values.pay_links import PayUrl

KEEP_ALIVE_S: Final = 15.0
WRITE_S: Final = 30.0  # who does not take a piece in this time is not waited for

Change = Job | WorkDelta


async def send_changes(
    request: web.Request,
    changes: AsyncGenerator[Change, None],
    *,
    clock: Clock,
    pay_url: PayUrl,
    stopping: asyncio.Event,
    refund_as: RefundView = refund_view,
    keep_alive_s: float = KEEP_ALIVE_S,
) -> web.StreamResponse:
    """Send changes until they end or the server stops. Raises ClientGone."""
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "X-Accel-Buffering": "no",  # else nginx holds events back
        }
    )
    try:
        await response.prepare(request)
    except ConnectionError:
        raise ClientGone from None
    stop = asyncio.ensure_future(stopping.wait())
    change = asyncio.ensure_future(anext(changes, None))
    try:
        while not stop.done():
            await asyncio.wait(
                [stop, change], timeout=keep_alive_s, return_when=asyncio.FIRST_COMPLETED
            )
            if change.done():
                if (changed := change.result()) is None:
                    break
                await _write(response, _event(changed, clock, pay_url, refund_as))
                change = asyncio.ensure_future(anext(changes, None))
            elif not stop.done():
                await _write(response, b": keep-alive\n\n")
    finally:
        stop.cancel()
        change.cancel()
        await asyncio.wait([change])  # a generator that runs cannot be closed
        await changes.aclose()
    return response


def _event(change: Change, clock: Clock, pay_url: PayUrl, refund_as: RefundView) -> bytes:
    match change:
        case Job():
            view = job_view(change, clock.now_ms(), pay_url=pay_url, refund_as=refund_as)
            return b"event: job\nid: %d\ndata: %s\n\n" % (change.version, view.to_json())
        case WorkDelta():
            return b"event: delta\ndata: %s\n\n" % delta_view(change).to_json()
        case _:
            assert_never(change)


async def _write(response: web.StreamResponse, chunk: bytes) -> None:
    try:
        async with asyncio.timeout(WRITE_S):
            await response.write(chunk)
    except (ConnectionError, TimeoutError):
        raise ClientGone from None
