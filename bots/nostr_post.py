"""Bringing an event to where its receiver reads.

First to the relays that the receiver named for private messages; if none of these takes it, to
those where they wrote and read; at last to ours. The last proves little, for nobody may ever look
there: such an event is offered once more as soon as a better place is known.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import structlog

from bots.channel import Bad, Outcome, Sent, TryLater
from bots.nip01 import Event
from bots.nostr_letters import NIP17
from bots.nostr_line import Refused, Taken, Unheard, Verdict
from bots.nostr_places import Places
from bots.nostr_relay import Relay, Visitor
from core.values.clock import Clock

log = structlog.get_logger(__name__)

_AWAY_S = 300.0  # how long a stranger's relay that did not answer is left alone
_AWAY_MAX = 1_000
_UNSURE_MAX = 1_000
_UNSURE_EACH_MAX = 10


class Post:
    """Delivers; a relay that is slower than another goes on in the background."""

    def __init__(
        self, ours: Mapping[str, Relay], *, places: Places, visitor: Visitor, clock: Clock
    ) -> None:
        """`ours` are our relays by their clean addresses."""
        self._ours = ours
        self._places = places
        self._visitor = visitor
        self._clock = clock
        self._away: dict[str, float] = {}
        self._slower: set[asyncio.Task[Verdict]] = set()
        self._unsure: OrderedDict[str, list[Event]] = OrderedDict()  # by receiver, newest last

    async def deliver(self, event: Event, receiver: str, *, via: str, ext_id: str) -> Outcome:
        """Have one relay of the right kind take it."""
        lists = await self._places.lists(receiver)
        near = (*self._places.seen(receiver), *lists.read)
        verdicts: list[Verdict] = []
        for urls in (lists.mail if via == NIP17 else (), near):
            places = list(dict.fromkeys(urls))
            verdicts += await self._offer(event, places)
            if Taken() in verdicts:
                for unsure in self._unsure.pop(receiver, ()):
                    await self._offer(unsure, places)
                return Sent(ext_id)
        ours = await self._offer(event, list(self._ours))
        if Taken() in ours:
            self._note_unsure(receiver, event)
            return Sent(ext_id)
        return self._failure([*verdicts, *ours])

    async def aclose(self) -> None:
        """Give up what is still under way."""
        for task in self._slower:
            task.cancel()
        await asyncio.gather(*self._slower, return_exceptions=True)

    async def _offer(self, event: Event, urls: Sequence[str]) -> list[Verdict]:
        """The verdicts so far, once one relay has taken it or all have answered."""
        waiting = {asyncio.create_task(self._offer_at(url, event)) for url in urls}
        self._slower |= waiting
        for task in waiting:
            task.add_done_callback(self._slower.discard)
        verdicts: list[Verdict] = []
        while waiting and Taken() not in verdicts:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            verdicts += [task.result() for task in done]
        return verdicts

    async def _offer_at(self, url: str, event: Event) -> Verdict:
        if url in self._ours:
            verdict = await self._ours[url].publish(event)
        elif self._clock.monotonic() < self._away.get(url, 0.0):
            return Unheard("away a moment ago")
        else:
            verdict = await self._visitor.publish(url, event)
            if isinstance(verdict, Unheard):
                self._note_away(url)
        if not isinstance(verdict, Taken):
            log.info("relay took no message", relay=url, reason=verdict.reason)
        return verdict

    def _note_away(self, url: str) -> None:
        if len(self._away) >= _AWAY_MAX:
            del self._away[next(iter(self._away))]
        self._away[url] = self._clock.monotonic() + _AWAY_S

    def _note_unsure(self, receiver: str, event: Event) -> None:
        log.info("message is on our own relays alone", receiver=receiver)
        events = self._unsure.setdefault(receiver, [])
        if event not in events:
            events.append(event)
        del events[:-_UNSURE_EACH_MAX]
        if len(self._unsure) > _UNSURE_MAX:
            self._unsure.popitem(last=False)

    def _failure(self, verdicts: Sequence[Verdict]) -> Outcome:
        if not any(relay.is_up for relay in self._ours.values()):
            return TryLater(None, "none of our relays is connected", is_for_all=True)
        refusals = [verdict for verdict in verdicts if isinstance(verdict, Refused)]
        if len(refusals) == len(verdicts) and not any(each.is_passing for each in refusals):
            return Bad(f"no relay takes it: {refusals[-1].reason}")
        return TryLater(None, "no relay has taken it so far")
