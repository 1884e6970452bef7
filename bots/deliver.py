"""Delivery: takes letters from the outbox to their channel, and makes sure of each.

Letters of one peer go in their order, one message at a time; peers do not wait for each other. What
the channel has taken is noted at once, so that a crash repeats one message at most, and loses none.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import structlog

from bots.alarms import Alarms
from bots.channel import (
    Bad,
    Channel,
    Down,
    Gone,
    Lost,
    Outcome,
    Sent,
    Shown,
    TryLater,
    Unknown,
)
from bots.pace import Pace
from core.books.outbox import OUTBOX, Card, Queued
from core.desk.mail_desk import MailDesk
from core.desk.people_desk import PeopleDesk
from core.loops.hands import Hands
from core.values.mail import Letter
from core.values.packed import pack

LOOK_S = 5.0  # another process may have written something without our hearing
RETRY_FIRST_S, RETRY_LONGEST_S = 1.0, 300.0
IN_DOUBT_S = 5.0
DOUBTS_MAX = 2  # what the channel may have taken twice counts as sent
DOWN_S = 60.0
JITTER = 0.2
NOTHING_NEW = "-"  # stands for a step that made no message of its own

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Delivery:
    """Delivers the letters of one channel."""

    channel: Channel[Any]
    desk: MailDesk
    people: PeopleDesk
    pace: Pace
    alarms: Alarms
    _hands: Hands = field(default_factory=lambda: Hands("letter"))  # by the peer's uid

    async def run(self) -> None:
        """Deliver, for ever."""
        try:
            with self.desk.bulletin.listen(OUTBOX) as news:
                while True:
                    self._hands.freed.clear()
                    wait_s = await self._start_due()
                    await news.wait_beside(self._hands.freed, wait_s)
        finally:
            await self._hands.aclose()

    async def _start_due(self) -> float:
        """Begin what can be begun; return how long nothing more can."""
        channel, now = self.channel, self.desk.clock.monotonic()
        wait_s = LOOK_S
        busy = self._hands.busy  # what is read now may be said before the reading ends
        for queued in await self.desk.letters(channel.name, channel.realm):
            uid = queued.letter.peer.uid
            if uid in busy:
                continue
            pause_s = self.pace.wait_s(uid, now)
            if pause_s > 0:
                wait_s = min(wait_s, pause_s)
                continue
            self._hands.start(uid, self._deliver(queued))
        due_ms = await self.desk.next_letter_ms(channel.name, channel.realm)
        if due_ms is not None:
            left_s = (due_ms - self.desk.clock.now_ms()) / 1000
            if left_s > 0:
                wait_s = min(wait_s, left_s)
        return wait_s

    async def _deliver(self, queued: Queued) -> None:
        letter = queued.letter
        if letter.is_passing and not self.channel.caps.can_edit:
            await self.desk.sent(queued, None)
            return
        card = await self.desk.card(letter.peer, letter.slot) if letter.slot else None
        digest = _digest(letter)
        if card is not None and not letter.is_news and card.digest == digest:
            await self.desk.sent(queued, None)
            return
        shown = None if card is None or letter.is_news else Shown(card.ext_ids, card.form, digest)
        steps = self.channel.plan(letter, shown)
        await self._take_steps(queued, steps, shown)

    async def _take_steps(self, queued: Queued, steps: Sequence[Any], shown: Shown | None) -> None:
        ids, form = list(queued.sent_ids), "" if shown is None else shown.form
        doubts = queued.doubts
        for step in steps[len(ids) :]:
            if doubts >= DOUBTS_MAX and not self.channel.caps.is_idempotent:
                ids.append(NOTHING_NEW)
                doubts = 0
                continue
            await self._wait_for_turn(queued.letter.peer.uid)
            self.pace.took(queued.letter.peer.uid, self.desk.clock.monotonic())
            outcome = await self.channel.perform(queued.letter.peer, step)
            doubts = 0
            if not isinstance(outcome, Sent):
                await self._not_sent(queued, outcome)
                return
            if outcome.lacks_links:
                await self.alarms.links_refused(self.channel.name)
            ids.append(NOTHING_NEW if outcome.ext_id is None else outcome.ext_id)
            form = outcome.form if outcome.ext_id is not None else form
            if len(ids) < len(steps):
                await self.desk.sent_part(queued, tuple(ids))
        await self.desk.sent(queued, _card(queued.letter, ids, form, shown))

    async def _wait_for_turn(self, uid: str) -> None:
        clock = self.desk.clock
        while (pause_s := self.pace.wait_s(uid, clock.monotonic())) > 0:
            await clock.sleep(pause_s)

    async def _not_sent(self, queued: Queued, outcome: Outcome) -> None:
        peer = queued.letter.peer
        match outcome:
            case TryLater(after_s, reason, is_for_all=is_for_all):
                pause_s = _backoff_s(queued.tries) if after_s is None else after_s * 1.1
                if is_for_all:
                    self.pace.close_until(self.desk.clock.monotonic() + pause_s)
                log.info("message put off", channel=peer.channel, reason=reason, for_s=pause_s)
                await self.desk.again(queued, int(pause_s * 1000))
            case Gone(reason):
                log.info("peer cannot be reached", channel=peer.channel, reason=reason)
                await self.desk.again(queued, 0)
                await self.people.lose(peer)
            case Lost():
                await self.desk.start_over(queued)
            case Bad(reason):
                log.error("message refused for good", channel=peer.channel, reason=reason)
                await self.desk.dead(queued)
                await self.alarms.undelivered(peer.channel, reason)
            case Unknown(reason):
                log.warning("message in doubt", channel=peer.channel, reason=reason)
                await self.desk.in_doubt(queued, int(IN_DOUBT_S * 1000))
            case Down(reason):
                log.error("channel refuses us", channel=peer.channel, reason=reason)
                self.pace.close_until(self.desk.clock.monotonic() + DOWN_S)
                await self.desk.again(queued, int(DOWN_S * 1000))
            case Sent():
                raise AssertionError("what was sent is noted by its sender")
            case _:
                assert_never(outcome)


def _card(letter: Letter, ids: list[str], form: str, shown: Shown | None) -> Card | None:
    """What stands in the letter's slot now."""
    if letter.slot is None:
        return None
    made = tuple(ext_id for ext_id in ids if ext_id != NOTHING_NEW)
    kept = () if shown is None else shown.ext_ids
    if not (made or kept):
        return None
    return Card(made or kept, form, _digest(letter))


def _digest(letter: Letter) -> str:
    return hashlib.sha256(pack(letter.content).encode()).hexdigest()[:16]


def _backoff_s(tries: int) -> float:
    whole = min(RETRY_LONGEST_S, RETRY_FIRST_S * 2.0 ** min(tries, 10))
    return whole * (1 + random.uniform(-JITTER, JITTER))  # noqa: S311 - spreads load, guards nothing
