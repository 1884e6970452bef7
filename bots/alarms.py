"""Alarms: the operator is told by itself where somebody has to look, with one line of advice.

At most one of a kind comes in ten minutes, and what lasts is told once, and that it is over. Texts
of people are never in them. One process looks; what one of them notices itself, it tells itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bots.channel import ChannelDown
from bots.scene import Voice
from core.books.outbox import Backlog
from core.desk.admin_desk import AdminDesk
from core.desk.mail_desk import MailDesk
from core.values.mail import Peer
from core.values.texts import Catalogue

LOOK_S = 5.0
AWAY_MS = 15_000  # a shorter absence, such as a restart, is no news
WAITS_MS = 60_000
REASON_LENGTH = 120
_POST = "alarms"

Say = Callable[[Voice], dict[str, Any]]  # the values of a text, in the words of a voice


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """Tells the operator."""

    desk: AdminDesk
    mail: MailDesk
    catalogue: Catalogue
    peers: Sequence[Peer]  # the operator, on every channel
    lnbits_url: str
    model_url: str
    _late: set[str] = field(default_factory=set)  # channels where mail waited at the last look

    async def watch(self) -> None:
        """Look at what can fail, for ever."""
        while True:
            if self.peers and await self.mail.take_post(_POST):
                await self.look()
            await self.mail.clock.sleep(LOOK_S)

    async def look(self) -> None:
        """Look once, and tell what began and what is over."""
        await self._look_for("wallet", "lnbits", url=self.lnbits_url)
        await self._look_for("model", "model", url=self.model_url)
        await self._look_for("nostr", "relays")
        await self._look_at_money()
        await self._look_at_backlogs()

    async def channel_is_down(self, channel: str, fault: ChannelDown) -> None:
        """A channel refuses us: another program is there, or our token is none."""
        key = "rival" if fault.is_rival else "token"
        await self._warn(f"{key}.{channel}", key, lambda _: {"channel": channel.capitalize()})

    async def undelivered(self, channel: str, reason: str) -> None:
        """A message will never be delivered."""
        values = {"channel": channel.capitalize(), "reason": reason[:REASON_LENGTH]}
        await self._warn(f"undelivered.{channel}", "undelivered", lambda _: values)

    async def links_refused(self, channel: str) -> None:
        """A message went out without its button that opens a page."""
        await self._warn(
            f"pay_link.{channel}", "pay_link", lambda _: {"channel": channel.capitalize()}
        )

    async def mail_is_dead(self, ref: str) -> None:
        """A piece of mail could not be read."""
        await self._warn("dead_mail", "dead_mail", lambda _: {"ref": ref})

    async def _look_for(self, name: str, kind: str, **values: str) -> None:
        """Tell that somebody does not answer, or answers again."""
        since_ms, now_ms = self.desk.health.away_since_ms.get(name), self.desk.clock.now_ms()
        if since_ms is None:
            await self.desk.all_clear(kind, self.peers, partial(self._is_back, f"{kind}_back"))
        elif (away_ms := now_ms - since_ms) >= AWAY_MS:
            await self._warn(
                kind, kind, lambda v: {"duration": v.span(away_ms), **values}, since_ms=since_ms
            )

    def _is_back(self, key: str, lang: str, lasted_ms: int) -> str:
        return self._text(key, lang, lambda voice: {"duration": voice.span(lasted_ms)})

    async def _look_at_money(self) -> None:
        seen, short = self.desk.watchdog.seen, self.desk.shortage

        def amounts(voice: Voice) -> dict[str, str]:
            assert seen is not None, "the watchdog has looked before it speaks"
            return {"wallet": voice.has(seen.wallet), "owed": voice.costs(seen.to_hold)}

        if short is not None:
            now_ms = self.desk.clock.now_ms()
            await self._warn("wallet_short", "wallet_short", amounts, since_ms=now_ms)
        elif seen is not None:
            await self.desk.all_clear(
                "wallet_short",
                self.peers,
                lambda lang, _: self._text("wallet_short_back", lang, amounts),
            )

    async def _look_at_backlogs(self) -> None:
        """Tell of mail that waits at two looks: after a machine has slept, all of it looks old."""
        now_ms = self.desk.clock.now_ms()
        late = [
            backlog
            for backlog in await self.desk.backlogs()
            if backlog.channel in self.desk.health.doors  # a terminal's mail waits for its person
            and now_ms - backlog.oldest_ms > WAITS_MS
        ]
        for backlog in late:
            if backlog.channel in self._late:
                await self._tell_of_backlog(backlog, now_ms - backlog.oldest_ms)
        self._late.clear()
        self._late.update(backlog.channel for backlog in late)

    async def _tell_of_backlog(self, backlog: Backlog, age_ms: int) -> None:
        values = {"n": backlog.letters, "channel": backlog.channel.capitalize()}
        await self._warn(
            f"backlog.{backlog.channel}", "backlog", lambda v: {"age": v.span(age_ms), **values}
        )

    async def _warn(self, kind: str, key: str, values: Say, *, since_ms: int = 0) -> None:
        if self.peers:
            await self.desk.warn(
                kind, self.peers, lambda lang: self._text(key, lang, values), since_ms=since_ms
            )

    def _text(self, key: str, lang: str, values: Say) -> str:
        voice = Voice(self.catalogue, lang)
        return voice.say(f"admin.alert.{key}", **values(voice))
