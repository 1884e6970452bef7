"""From what relays send to what the office stores, each message once.

Everything is read again after each reconnection, and often from several relays: what was dealt
with is known by its id, and the office knows what came before this program. The work goes on in
slices, so that a flood of bad events is nobody's trouble.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

import structlog

from bots.channel import Office
from bots.nostr_letters import NIP04
from bots.nostr_line import Json
from bots.nostr_mail import Mailbox, NotMail
from bots.nostr_twins import Twins
from core.values.clock import Clock
from core.values.errors import DatabaseUnavailable
from core.values.mail import Inbound

log = structlog.get_logger(__name__)

_SLICE_S = 0.005
_SLICE_EVENTS = 200
_WAITING_MAX = 1_000
_KNOWN_MAX = 50_000
_OFFICE_AGAIN_S = 0.5

Seen = Callable[[str, str], None]  # somebody's key, and the relay where it wrote


class Intake:
    """One queue for all relays, and one task that works it off."""

    def __init__(self, mailbox: Mailbox, *, clock: Clock, twin_s: float, seen: Seen) -> None:
        """`twin_s` is how long an old message waits for its twin."""
        self._mailbox = mailbox
        self._clock = clock
        self._twin_s = twin_s
        self._seen = seen
        self._arrived: asyncio.Queue[tuple[str, Json]] = asyncio.Queue(_WAITING_MAX)
        self._held: deque[tuple[float, Inbound]] = deque()  # old messages, and until when
        self._dealt_with = _Known()  # events, with whose they were
        self._given = _Known()  # messages: the same may come in many wraps
        self._twins = Twins()

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
        mail: list[Inbound] = []
        first = await self._first()
        until_s = self._clock.monotonic() + _SLICE_S
        for _ in range(_SLICE_EVENTS):
            if first is None:
                break
            mail += self._open(*first)
            if self._arrived.empty() or self._clock.monotonic() > until_s:
                break
            first = self._arrived.get_nowait()
        return [*mail, *self._no_longer_held()]

    async def _first(self) -> tuple[str, Json] | None:
        """The next event; None when it is time for an old message that was held."""
        wait_s = max(0.0, self._held[0][0] - self._clock.monotonic()) if self._held else None
        try:
            async with asyncio.timeout(wait_s):
                return await self._arrived.get()
        except TimeoutError:
            return None

    def _open(self, relay: str, raw: Json) -> list[Inbound]:
        """The mail in an event: one message or none."""
        author = self._dealt_with.get(raw.get("id"))
        if author is not None:
            if author:
                self._seen(author, relay)
            return []
        try:
            event = self._mailbox.genuine(raw)
            self._dealt_with.add(event.id, "")
            mail = self._mailbox.read(event, now_ms=self._clock.now_ms())
        except NotMail as reason:
            log.debug("event passed over", relay=relay, reason=str(reason))
            return []
        self._dealt_with.add(event.id, mail.peer.uid)
        self._seen(mail.peer.uid, relay)
        if self._given.get(mail.ext_id) is not None:
            return []
        self._given.add(mail.ext_id, mail.peer.uid)
        if mail.via == NIP04:
            self._held.append((self._clock.monotonic() + self._twin_s, mail))
            return []
        return [] if self._twins.is_second(mail) else [mail]

    def _no_longer_held(self) -> list[Inbound]:
        now_s, due = self._clock.monotonic(), []
        while self._held and self._held[0][0] <= now_s:
            due.append(self._held.popleft()[1])
        return [mail for mail in due if not self._twins.is_second(mail)]

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
