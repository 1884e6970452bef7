"""What the tests of the Telegram adapter share: a bot on a simulated Bot API, and its office."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from bots.channel import Office
from bots.telegram import BotApi, Profile, Webhook
from bots.telegram_channel import TelegramChannel
from bots.telegram_presses import Seals
from core.values.clock import Clock, SystemClock
from core.values.errors import DatabaseUnavailable
from core.values.mail import Body, Inbound, Peer, Press
from tests.simulator.bot_api import SimulatedBotApi

SEALS = Seals([b"k" * 32])
PROFILES = {
    "": Profile([("help", "What I do")], "AI work for sats.", "AI agent."),
    "de": Profile([("help", "Was ich tue")], "KI-Arbeit gegen Sats.", "KI-Agent."),
}
REALM = "7000000001"


def toast(key: str, lang: str | None) -> str:
    return f"{key} in {lang}"


class Desk:
    """An office with a journal; what is to go wrong is said before."""

    def __init__(self) -> None:
        self.mail: list[Inbound] = []
        self.is_full = False
        self.stale: set[Press] = set()
        self.is_slow = False
        self._news = asyncio.Event()

    @property
    def bodies(self) -> list[Body]:
        return [inbound.body for inbound in self.mail]

    async def take(self, mail: Sequence[Inbound]) -> None:
        if self.is_full:
            self._news.set()
            raise DatabaseUnavailable("the disk is full")
        known = {inbound.ext_id for inbound in self.mail}
        self.mail += [inbound for inbound in mail if inbound.ext_id not in known]
        self._news.set()

    async def is_current(self, peer: Peer, press: Press) -> bool:
        assert peer.channel == "telegram"
        if self.is_slow:
            await asyncio.Event().wait()
        return press not in self.stale

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self._news.clear()
                await self._news.wait()


def channel_on(
    sim: SimulatedBotApi,
    *,
    token: str | None = None,
    clock: Clock | None = None,
    webhook: Webhook | None = None,
    read_s: float = 5.0,
) -> TelegramChannel:
    return TelegramChannel(
        BotApi(token or sim.token, api_base=sim.url, read_s=read_s),
        seals=SEALS,
        toast=toast,
        clock=clock or SystemClock(),
        profiles=PROFILES,
        webhook=webhook,
    )


@asynccontextmanager
async def running(channel: TelegramChannel, office: Office) -> AsyncIterator[asyncio.Task[None]]:
    """The channel, opened and polling."""
    await channel.open()
    task = asyncio.create_task(channel.run(office))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
