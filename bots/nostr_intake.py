"""From what relays send to what the office stores, each message once.

Everything is read again after each reconnection, and often from several relays: what was dealt
with is known by its id, and the office knows what came before this program. The work goes on in
slices, so that a flood of bad events is nobody's trouble.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

import structlog

from bots.channel import Office
from bots.nostr_line import Json
from bots.nostr_mail import Mailbox, NotMail
from bots.nostr_waiting import WaitingRoom
from core.values.clock import Clock
from core.values.errors import DatabaseUnavailable
from core.values.mail import Inbound

log = structlog.get_logger(__name__)

_SLICE_S = 0.002
_SLICE_EVENTS = 200
_WAITING_MAX = 1_000
_KNOWN_MAX = 50_000
_OFFICE_AGAIN_S = 0.5

Seen = Callable[[str, str], None]  # somebody's key, and the relay where it wrote


class Intake:
    """One queue for all relays, and one task that works it off."""

    def __init__(self, mailbox: Mailbox, *, clock: Clock, hold_s: float, seen: Seen) -> None:
        """`hold_s` is how long mail waits for what may have to go before it, or instead of it."""
        self._mailbox = mailbox
        self._clock = clock
        self._seen = seen
        self._arrived: asyncio.Queue[tuple[str, Json]] = asyncio.Queue(_WAITING_MAX)
        self._dealt_with = _Known()  # events, with whose they were
        self._given = _Known()  # messages: the same may come in many wraps
        self._waiting = WaitingRoom(hold_s)

    async def put(self, relay: str, event: Json) -> None:
        """Queue an event; waits while there are too many."""
        await self._arrived.put((relay, event))

    async def run(self, office: Office) -> None:
        """Hand all mail to the office; never returns."""
        while True:
            mail = await self._next()
            if mail:
                await self._hand_over(office, mail)
            await asyncio.sleep(0)

    async def _next(self) -> list[Inbound]:
        """What a slice of work finds; perhaps nothing."""
        first = await self._first()
        until_s = self._clock.monotonic() + _SLICE_S
        for _ in range(_SLICE_EVENTS):
            if first is None:
                break
            self._open(*first)
            if self._arrived.empty() or self._clock.monotonic() > until_s:
                break
            first = self._arrived.get_nowait()
        return self._waiting.leave(self._clock.monotonic())

    async def _first(self) -> tuple[str, Json] | None:
        """The next event; None when mail has waited long enough."""
        opens_at_s = self._waiting.opens_at()
        wait_s = None if opens_at_s is None else max(0.0, opens_at_s - self._clock.monotonic())
        try:
            async with asyncio.timeout(wait_s):
                return await self._arrived.get()
        except TimeoutError:
            return None

    def _open(self, relay: str, raw: Json) -> None:
        """Let the mail in this event in, unless it came before."""
        author = self._dealt_with.get(raw.get("id"))
        if author is not None:
            if author:
                self._seen(author, relay)
            return
        try:
            event = self._mailbox.genuine(raw)
            self._dealt_with.add(event.id, "")
            mail = self._mailbox.read(event, now_ms=self._clock.now_ms())
        except NotMail as reason:
            log.debug("event passed over", relay=relay, reason=str(reason))
            return
        self._dealt_with.add(event.id, mail.peer.uid)
        self._seen(mail.peer.uid, relay)
        if self._given.get(mail.ext_id) is None:
            self._given.add(mail.ext_id, mail.peer.uid)
            now_s, now_ms = self._clock.monotonic(), self._clock.now_ms()
            self._waiting.add(mail, now_s=now_s, now_ms=now_ms)

    async def _hand_over(self, office: Office, mail: list[Inbound]) -> None:
        while True:
            try:
                return await office.take(mail)
            except DatabaseUnavailable as fault:
                # Relays would send it again only after a reconnection, so it is kept meanwhile.
                log.warning("mail waits for the database", messages=len(mail), reason=fault.detail)
                await self._clock.sleep(_OFFICE_AGAIN_S)


class _Known:
    """Ids with a word to each, the oldest of which are forgotten."""

    def __init__(self) -> None:
        self._words: OrderedDict[str, str] = OrderedDict()

    def get(self, key: object) -> str | None:
        return self._words.get(key) if isinstance(key, str) else None

    def add(self, key: str, word: str) -> None:
        self._words[key] = word
        if len(self._words) > _KNOWN_MAX:
            self._words.popitem(last=False)
