"""The office: where the channels bring their mail, and what serves them.

One process at a time serves a channel; another takes over when it is gone. A channel that refuses
us costs neither the other channels nor the HTTP doors.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from bots.alarms import Alarms
from bots.asking import Asking
from bots.channel import Channel, ChannelDown, TryAgain
from bots.chatting import Chatting
from bots.commands import Commands
from bots.counter import Counter
from bots.deliver import Delivery
from bots.files import Files
from bots.following import Following
from bots.household import Household
from bots.linking import Linking
from bots.operator import Operator
from bots.pace import Pace
from bots.presses import Presses
from bots.purse import Purse
from bots.readers import Readers
from bots.scene import Shop
from bots.stage import Stage
from bots.talk import Conversation
from core.desk.front_desk import Desk
from core.loops.supervisor import Supervisor
from core.values.mail import File, Inbound, Peer, Press
from core.values.texts import Catalogue

POST_BEAT_S = 5.0
TAKE_OVER_S = 5.0
VISIT_BEAT_S, VISIT_WAIT_S = 1.0, 25.0
DOWN_S = 60.0
TIDY_S = 3_600.0

log = structlog.get_logger(__name__)


class RealmTaken(Exception):
    """This realm is being served already."""


@dataclass(eq=False)
class Office:
    """Takes mail in, and serves channels while it is open."""

    desk: Desk
    catalogue: Catalogue
    stage: Stage
    alarms: Alarms
    channels: Sequence[Channel[Any]]
    is_down: set[str] = field(default_factory=set)  # channels that are ours to serve and are not
    _visitors: set[str] = field(default_factory=set)  # realms that `receive` serves

    async def take(self, mail: Sequence[Inbound]) -> None:
        """Store what came in; committed when this returns. Raises DatabaseUnavailable."""
        await self.desk.people.take([(item, self.catalogue.pick(item.lang)) for item in mail])

    async def is_current(self, peer: Peer, press: Press) -> bool:
        """Whether a button still has an effect."""
        return await self.desk.people.is_current(peer, press)

    def is_serving(self, channel: Channel[Any]) -> bool:
        """Whether this process serves a channel now."""
        return (channel.name, channel.realm) in self.stage.channels

    def is_well(self, channel: Channel[Any], is_connected: Callable[[], bool]) -> bool:
        """Whether a channel is served as far as that is this process's post."""
        if channel.name in self.is_down:
            return False
        return is_connected() or not self.is_serving(channel)

    async def fetch(self, peer: Peer, file: File, bytes_max: int) -> bytes:
        """The content of a file that came from this peer. Raises FileTooBig, TryAgain."""
        door = self.stage.channels.get((peer.channel, peer.realm))
        if door is None:
            raise TryAgain
        return await door[0].fetch(file, bytes_max)

    async def serve(self, channel: Channel[Any]) -> None:
        """Serve a channel as long as this process has its post; for ever."""
        while True:
            if not await self.desk.mail.take_post(channel.name):
                self.is_down.discard(channel.name)
                await self.desk.clock.sleep(TAKE_OVER_S)
                continue
            try:
                await self._serve(channel, post=channel.name)
            except TryAgain as fault:
                log.warning("channel not open yet", channel=channel.name, reason=str(fault))
                self.is_down.add(channel.name)
                await self.desk.clock.sleep(TAKE_OVER_S)
            except ChannelDown as fault:
                log.warning("channel refuses us", channel=channel.name, reason=str(fault))
                self.is_down.add(channel.name)
                await self.alarms.channel_is_down(channel.name, fault)
                await self.desk.clock.sleep(DOWN_S)

    async def receive(self, channel: Channel[Any]) -> None:
        """Serve a channel until it ends by itself. Raises RealmTaken, DatabaseUnavailable."""
        if channel.realm in self._visitors:
            raise RealmTaken
        self._visitors.add(channel.realm)
        post = f"{channel.name} {channel.realm}"
        # A process that died has the post for some seconds more.
        until = self.desk.clock.monotonic() + VISIT_WAIT_S
        try:
            while not await self.desk.mail.take_post(post):
                if self.desk.clock.monotonic() > until:
                    raise RealmTaken
                await self.desk.clock.sleep(VISIT_BEAT_S)
            await self._serve(channel, post=post)
        finally:
            self._visitors.discard(channel.realm)

    async def _serve(self, channel: Channel[Any], *, post: str) -> None:
        await channel.open()
        pace = Pace(channel.caps)
        delivery = Delivery(channel, self.desk.mail, self.desk.people, pace, self.alarms)
        self.stage.add(channel, pace)
        self.is_down.discard(channel.name)
        log.info("channel open", channel=channel.name, realm=channel.realm)
        work = [
            asyncio.create_task(channel.run(self)),
            asyncio.create_task(delivery.run()),
            asyncio.create_task(self._keep_post(post)),
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in work:
                if task.done():
                    task.result()
        finally:
            self.stage.remove(channel)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _keep_post(self, name: str) -> None:
        """Return when another process has the post."""
        while await self.desk.mail.take_post(name):
            await self.desk.clock.sleep(POST_BEAT_S)

    async def tidy(self) -> None:
        """Forget what is no longer needed, for ever."""
        while True:
            await self.desk.mail.tidy()
            await self.desk.clock.sleep(TIDY_S)


@asynccontextmanager
async def open_office(
    desk: Desk,
    shop: Shop,
    catalogue: Catalogue,
    *,
    channels: Sequence[Channel[Any]],
    operator: Operator,
    alarms: Alarms,
) -> AsyncIterator[Office]:
    """Serve these channels while the block runs."""
    stage = Stage(desk.jobs, desk.clock)
    office = Office(
        desk, catalogue, stage, alarms, channels, {channel.name for channel in channels}
    )
    private_url = partial(_private_url, channels)
    conversation = conversation_of(
        desk,
        shop,
        catalogue,
        stage=stage,
        operator=operator,
        fetch=office.fetch,
        private_url=private_url,
    )
    readers = Readers(desk.mail, conversation, alarms)
    supervisor = Supervisor(desk.clock)
    supervisor.start("readers", readers.run)
    supervisor.start("mail tidy", office.tidy)
    supervisor.start("alarms", alarms.watch)
    for channel in channels:
        supervisor.start(channel.name, partial(office.serve, channel))
    try:
        yield office
    finally:
        await supervisor.aclose()
        await stage.aclose()
        for channel in channels:
            await channel.aclose()
        await desk.mail.leave()


def conversation_of(
    desk: Desk,
    shop: Shop,
    catalogue: Catalogue,
    *,
    stage: Stage,
    operator: Operator,
    fetch: Callable[[Peer, File, int], Any],
    private_url: Callable[[], str],
) -> Conversation:
    """The conversation, put together."""
    people = desk.people
    counter = Counter(people, shop, desk.pay_url)
    asking = Asking(counter)
    purse = Purse(counter)
    chatting = Chatting(people, desk.talk, purse, shop, stage)
    household = Household(people, shop, catalogue)
    linking = Linking(desk.links, private_url)
    presses = Presses(people, asking, purse, chatting, household, linking, operator)
    return Conversation(
        desk=people,
        shop=shop,
        catalogue=catalogue,
        following=Following(counter, purse, stage),
        purse=purse,
        chatting=chatting,
        asking=asking,
        commands=Commands(asking, purse, chatting, household, linking, presses, operator),
        presses=presses,
        linking=linking,
        files=Files(fetch),
        private_url=private_url,
    )


def _private_url(channels: Sequence[Channel[Any]]) -> str:
    """Where to write to us alone: the first channel that has such an address."""
    return next((url for channel in channels if (url := channel.address)), "")
