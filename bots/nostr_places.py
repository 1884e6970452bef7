"""Where people on Nostr read: the relays that they name themselves, and those where they wrote.

Lists are events of their author's own (kind 10050 for private messages, NIP-17; 10002 for the
rest, NIP-65), asked for at our relays. They are strangers' words: a few addresses are taken, and
who goes there looks where they lead.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import yarl

from bots.nip01 import Event, NotAnEvent, read_event
from bots.nostr_line import Json
from bots.nostr_relay import Relay
from core.values.clock import Clock

MAIL_RELAYS = 10_050
RELAYS = 10_002

_EACH_MAX = 3
_URL_CHARS_MAX = 200
_PEOPLE_MAX = 10_000
_KNOWN_S = 3600.0
_UNKNOWN_S = 60.0


@dataclass(frozen=True, slots=True)
class Lists:
    """The relays that somebody names: for private messages, and for whatever mentions them."""

    mail: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


class Places:
    """What is known of people's relays."""

    def __init__(self, relays: Sequence[Relay], *, clock: Clock, answer_s: float) -> None:
        """`relays` are ours; `answer_s` is how long they are waited for."""
        self._relays = relays
        self._clock = clock
        self._answer_s = answer_s
        self._seen: OrderedDict[str, dict[str, None]] = OrderedDict()
        self._lists: OrderedDict[str, tuple[float, Lists]] = OrderedDict()

    def note(self, pubkey: str, relay: str) -> None:
        """Somebody wrote there, and may have published a list just before."""
        if pubkey in self._lists and self._lists[pubkey][1] == Lists():
            del self._lists[pubkey]
        self._seen.setdefault(pubkey, {})[relay] = None
        self._seen.move_to_end(pubkey)
        if len(self._seen) > _PEOPLE_MAX:
            self._seen.popitem(last=False)

    def seen(self, pubkey: str) -> tuple[str, ...]:
        """Those of our relays where somebody wrote, as far as is known."""
        return tuple(self._seen.get(pubkey, ()))

    async def lists(self, pubkey: str) -> Lists:
        """The relays that somebody names."""
        until_s, lists = self._lists.get(pubkey, (0.0, Lists()))
        if self._clock.monotonic() >= until_s:
            lists = await self._look_up(pubkey)
            kept_s = _UNKNOWN_S if lists == Lists() else _KNOWN_S
            self._lists[pubkey] = (self._clock.monotonic() + kept_s, lists)
            if len(self._lists) > _PEOPLE_MAX:
                self._lists.popitem(last=False)
        return lists

    async def _look_up(self, pubkey: str) -> Lists:
        wanted = {"kinds": [MAIL_RELAYS, RELAYS], "authors": [pubkey], "limit": 10}
        asking = [asyncio.create_task(each.ask(wanted)) for each in self._relays if each.is_up]
        if not asking:
            return Lists()
        try:
            done, _ = await asyncio.wait(asking, timeout=self._answer_s)
        finally:
            for question in asking:
                question.cancel()
        found = [raw for question in done for raw in question.result()]
        return Lists(
            mail=_urls(_newest(found, MAIL_RELAYS, pubkey), "relay"),
            read=_urls(_newest(found, RELAYS, pubkey), "r"),
        )


def _newest(found: Sequence[Json], kind: int, pubkey: str) -> Event | None:
    """The list that holds: the last one that its author signed."""
    events = []
    for raw in found:
        try:
            events.append(read_event(raw))
        except NotAnEvent:
            continue
    theirs = [event for event in events if (event.draft.kind, event.draft.pubkey) == (kind, pubkey)]
    theirs.sort(key=lambda event: event.draft.created_at, reverse=True)
    return next((event for event in theirs if event.is_genuine), None)


def _urls(event: Event | None, name: str) -> tuple[str, ...]:
    """The first few addresses in these tags, without those that are only written to."""
    if event is None:
        return ()
    tags = [tag for tag in event.draft.tags if tag[:1] == (name,) and len(tag) > 1]
    named = [tag[1] for tag in tags if tag[2:3] != ("write",)]
    urls = [url for url in map(clean_url, named) if url]
    return tuple(dict.fromkeys(urls))[:_EACH_MAX]


def clean_url(text: str) -> str:
    """A relay's address in one form for all its spellings; empty where it is none."""
    if len(text) > _URL_CHARS_MAX:
        return ""
    try:
        url = yarl.URL(text.strip())
    except ValueError:
        return ""
    if url.scheme not in {"ws", "wss"} or not url.host or url.user or url.password:
        return ""
    return str(url.with_fragment(None)).rstrip("/")
