"""Hearing of payments: four small loops that share one budget of calls, and one queue of news.

The socket pushes, the list of settled payments is the evidence: whatever is pushed only makes
the next look at the list come at once. For everybody who knows the invoice key may write into the
socket (`POST /api/v1/ws/<key>?data=`, measured, 1.5.6 and 1.6.2). One such list answers for all
invoices, whatever their number; there is no poll per invoice.

The list is read newest change first, back to the newest change of the last round less an overlap:
LNbits gives no cursor, and a payment may be written a little after its own `updated_at`. The
order by `time` would not do: that is the time of creation, so an old invoice paid late is far down.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import assert_never

import structlog

from core.values.clock import Clock
from core.wallets.lnbits_http import LnbitsHttp
from core.wallets.lnbits_rows import Look, Row, pushed_hash, read_rows
from core.wallets.port import NotPaid, Settlement, Unknown

log = structlog.get_logger(__name__)

_PATH = "/api/v1/payments"
_OVERLAP_MS = 60_000
_HEAD_ROWS = 100  # enough for an ordinary round
_DEEP_ROWS = 1_000  # the most that LNbits gives at once
_QUEUE_MAX = 1_000
_TOLD_MAX = 10_000
_HINTS_MAX = 1_000
_LOOKS_PER_HINT = 3

_SWEEP_S = 6.0
_LAST_LOOK_S = 90.0  # before the expiry; a sweep over 10,000 open invoices takes 60 s
_LAST_LOOKS_PER_PAGE = 5

_RECONNECT_S = 1.0
_RECONNECT_S_MAX = 30.0


class Hints:
    """Hashes that deserve an early look: a bounded queue without repetitions."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue(_HINTS_MAX)
        self._queued: set[str] = set()

    def add(self, payment_hashes: Iterable[str], *, looks: int = _LOOKS_PER_HINT) -> None:
        """Queue these for so many looks; those that find no room are left to the list."""
        for payment_hash in payment_hashes:
            if payment_hash not in self._queued and not self._queue.full():
                self._queued.add(payment_hash)
                self._queue.put_nowait((payment_hash, looks))

    async def next(self) -> tuple[str, int]:
        """The next hash to look at, and how many looks it still has with this one."""
        payment_hash, looks = await self._queue.get()
        self._queued.discard(payment_hash)
        return payment_hash, looks


class LnbitsFeed:
    """All that one listener hears; the wallet makes a new one for each call of `settlements`."""

    def __init__(
        self,
        http: LnbitsHttp,
        look: Callable[[str], Awaitable[Look]],
        *,
        hints: Hints,
        clock: Clock,
        catch_up_s: float,
        since_ms: int,
    ) -> None:
        self._http = http
        self._look = look
        self._hints = hints
        self._clock = clock
        self._catch_up_s = catch_up_s
        self._newest_ms = since_ms
        self._queue: asyncio.Queue[Settlement | None] = asyncio.Queue(_QUEUE_MAX)
        self._told: dict[str, None] = {}  # oldest first
        self._pushed: set[str] = set()
        self._wake = asyncio.Event()
        self._list_is_down = False
        self._socket_is_down = False

    async def hear(self) -> AsyncIterator[Settlement | None]:
        """Each settlement once, for ever; None whenever a round of catching up has ended."""
        loops = [
            asyncio.create_task(loop())
            for loop in (self._catch_up, self._listen, self._follow_hints, self._sweep)
        ]
        try:
            while True:
                news = await self._next(loops)
                if news is None:
                    yield None
                elif news.payment_hash not in self._told:
                    yield news
                    self._note_told(news.payment_hash)  # only now: the listener has taken it
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def _next(self, loops: Sequence[asyncio.Task[None]]) -> Settlement | None:
        news = asyncio.create_task(self._queue.get())
        try:
            done, _ = await asyncio.wait([news, *loops], return_when=asyncio.FIRST_COMPLETED)
            for loop in loops:
                if loop in done:
                    loop.result()  # no loop ever ends: this raises what broke it
            return news.result()
        finally:
            news.cancel()

    def _note_told(self, payment_hash: str) -> None:
        self._told[payment_hash] = None
        if len(self._told) > _TOLD_MAX:
            del self._told[next(iter(self._told))]

    # The list of settled payments

    async def _catch_up(self) -> None:
        while True:
            self._wake.clear()
            pushed_before = set(self._pushed)
            if await self._round():
                # What was pushed and is not listed may be news to come, or somebody's joke.
                self._hints.add(pushed_before & self._pushed)
                self._pushed -= pushed_before
                await self._queue.put(None)
            await self._woken_within(self._catch_up_s)

    async def _round(self) -> bool:
        """Read the list back to where the last whole round began; say whether that worked."""
        now_ms = self._clock.now_ms()
        floor_ms = self._newest_ms - _OVERLAP_MS
        newest_ms, offset, limit = self._newest_ms, 0, _HEAD_ROWS
        while True:
            filters = _filters("success", sort_by="updated_at", offset=offset, limit=limit)
            rows = read_rows(await self._http.get_first(_PATH, filters))
            if isinstance(rows, Unknown):
                self._note_list_down(rows.reason)
                return False
            for row in reversed(rows):
                await self._put(row.settlement())
                newest_ms = max(newest_ms, row.updated_at_ms)
            if len(rows) < limit or rows[-1].updated_at_ms < floor_ms:
                break
            offset, limit = offset + len(rows), _DEEP_ROWS
            # The way back may be long: what is pushed meanwhile is looked up by itself.
            self._hints.add(self._pushed)
        # LNbits' clock may have been ahead for a while; nothing is newer than this round.
        self._newest_ms = min(newest_ms, now_ms)
        self._note_list_up()
        return True

    async def _put(self, settlement: Settlement | None) -> None:
        if settlement is not None:
            self._pushed.discard(settlement.payment_hash)
            if settlement.payment_hash not in self._told:
                await self._queue.put(settlement)

    async def _woken_within(self, seconds: float) -> None:
        pause = asyncio.create_task(self._clock.sleep(seconds))
        woken = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait([pause, woken], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            woken.cancel()

    def _note_list_down(self, reason: str) -> None:
        if not self._list_is_down:
            log.warning("lnbits does not list payments", reason=reason)
        self._list_is_down = True

    def _note_list_up(self) -> None:
        if self._list_is_down:
            log.info("lnbits lists payments again")
        self._list_is_down = False

    # The socket

    async def _listen(self) -> None:
        wait_s = _RECONNECT_S
        while True:
            began = self._clock.monotonic()
            reason = await self._http.listen(opened=self._on_opened, heard=self._on_pushed)
            if not self._socket_is_down:
                log.warning(
                    "lnbits socket is down; payments are heard from the list", reason=reason
                )
            self._socket_is_down = True
            if self._clock.monotonic() - began > _RECONNECT_S_MAX:
                wait_s = _RECONNECT_S
            await self._clock.sleep(wait_s)
            wait_s = min(2 * wait_s, _RECONNECT_S_MAX)

    def _on_opened(self) -> None:
        if self._socket_is_down:
            log.info("lnbits socket is open again")
        self._socket_is_down = False
        self._wake.set()  # for what was not pushed while it was down

    def _on_pushed(self, text: str) -> None:
        payment_hash = pushed_hash(text)
        # LNbits pushes an internal payment twice, an outgoing one once.
        if payment_hash is None or payment_hash in self._told or payment_hash in self._pushed:
            return
        if len(self._pushed) < _HINTS_MAX:
            self._pushed.add(payment_hash)
        self._wake.set()

    # Single invoices

    async def _follow_hints(self) -> None:
        while True:
            payment_hash, looks = await self._hints.next()
            match await self._look(payment_hash):
                case Settlement() as settlement:
                    await self._put(settlement)
                case NotPaid():
                    pass
                case Unknown():
                    if looks > 1:
                        self._hints.add([payment_hash], looks=looks - 1)
                case other:
                    assert_never(other)

    async def _sweep(self) -> None:
        """Page through what is open, and have LNbits ask its node about what expires soon.

        A look makes LNbits ask its node, should the node's own word have been lost. From 1.6.0
        on it does so only until the expiry; so each invoice gets its last look just before.
        """
        offset = 0
        looked: dict[str, None] = {}
        while True:
            await self._clock.sleep(_SWEEP_S)
            filters = _filters("pending", sort_by="time", offset=offset, limit=_DEEP_ROWS)
            rows = read_rows(await self._http.get(_PATH, filters))
            if isinstance(rows, Unknown):
                continue  # the other list has said so already
            expiring = [row.payment_hash for row in rows if self._expires_soon(row)]
            due = [h for h in expiring if h not in looked][:_LAST_LOOKS_PER_PAGE]
            self._hints.add(due)
            looked.update(dict.fromkeys(due))
            while len(looked) > _TOLD_MAX:
                del looked[next(iter(looked))]
            offset = offset + len(rows) if len(rows) == _DEEP_ROWS else 0

    def _expires_soon(self, row: Row) -> bool:
        if row.expiry is None:
            return False
        left_s = row.expiry.timestamp() - self._clock.now_ms() / 1000
        return 0 < left_s <= _LAST_LOOK_S


def _filters(status: str, *, sort_by: str, offset: int, limit: int) -> dict[str, str]:
    """The query for one page of incoming payments, newest first."""
    return {
        "status": status,
        "amount[gt]": "0",
        "sortby": sort_by,
        "direction": "desc",
        "offset": str(offset),
        "limit": str(limit),
    }
