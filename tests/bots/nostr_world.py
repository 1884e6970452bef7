"""The Nostr bot on relays of the test, with an office that keeps what came in."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from bots.channel import Outcome
from bots.nip01 import Signer
from bots.nostr import NostrChannel, Profile
from bots.nostr_relay import Patience
from core.net import Names, SystemNames
from core.values.errors import DatabaseUnavailable
from core.values.mail import Content, Inbound, Letter, Note, Peer, Press, Text
from tests.bots.nostr_people import NOW_S, person
from tests.simulator.relay import PATIENCE_S, FaultRelay

BOT = person("bot")
HASTE = Patience(
    connect_s=2.0, answer_s=0.5, ping_s=0.4, retry_s=0.02, retry_most_s=0.1, deaf_s=0.2, hold_s=0.1
)


class ShiftedClock:
    """The machine's clock, but for its date."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def now_ms(self) -> int:
        return self.now_s * 1000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class Desk:
    """An office that stores each message once, as the books do."""

    mail: dict[str, Inbound] = field(default_factory=dict)
    failures: int = 0  # of the database, to come
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, mail: Sequence[Inbound]) -> None:
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable("The database is away.")
        async with self._changed:
            for each in mail:
                self.mail.setdefault(each.ext_id, each)
            self._changed.notify_all()

    async def is_current(self, _peer: Peer, _press: Press) -> bool:
        return False

    @property
    def texts(self) -> list[str]:
        return sorted(each.body.text for each in self.mail.values() if isinstance(each.body, Text))

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(holds)

    async def receive(self, *texts: str) -> None:
        """Wait until these texts are all that came."""
        await self.until(lambda: self.texts == sorted(texts))


@dataclass
class Bot:
    channel: NostrChannel
    desk: Desk
    clock: ShiftedClock

    async def say(
        self,
        person: Signer,
        content: Content | str,
        *,
        via: str = "nip17",
        reply_to: str | None = None,
    ) -> list[Outcome]:
        """Send a letter; the outcome of each of its steps."""
        letter = Letter(
            peer=Peer("nostr", BOT.pubkey, person.pubkey),
            content=Note(content) if isinstance(content, str) else content,
            via=via,
            reply_to=reply_to,
            at_ms=self.clock.now_ms(),
        )
        steps = self.channel.plan(letter, None)
        return [await self.channel.perform(letter.peer, step) for step in steps]


@asynccontextmanager
async def bot_on(
    *relays: str | FaultRelay,
    desk: Desk | None = None,
    clock: ShiftedClock | None = None,
    patience: Patience = HASTE,
    names: Names | None = None,
) -> AsyncIterator[Bot]:
    """The bot, which is connected to all these relays unless they are away."""
    clock, names = clock or ShiftedClock(), names or SystemNames()
    channel = NostrChannel(
        secret_key=BOT.secret.hex(),
        relays=[relay if isinstance(relay, str) else relay.url for relay in relays],
        profile=Profile(name="Bolt", about="Work for sats."),
        names=names,
        clock=clock,
        chance=random.Random(1),
        patience=patience,
    )
    bot = Bot(channel, desk or Desk(), clock)
    await channel.open()
    running = asyncio.create_task(channel.run(bot.desk))
    try:
        for relay in relays:
            if isinstance(relay, FaultRelay) and relay.sends_eose and relay.is_up:
                await relay.until(lambda relay=relay: relay.listeners >= 2)
        yield bot
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await channel.aclose()
        names.close()
