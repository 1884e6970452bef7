"""A person of a story on Nostr: an app of nostr-sdk, with nothing of ours in it.

What differs from other channels: there are no buttons and no edits, so that what is an edit
elsewhere is a message here, and an invoice is a message of its own, the one after its card.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import nostr_sdk
from nostr_sdk import EventBuilder, Keys, Kind, PublicKey, Tag, Timestamp

from tests.simulator.relays import SECRET
from tests.simulator.seat import NoSuchButton, Seen
from tests.simulator.stage import Stage
from tests.simulator.story_steps import Act, Cast, Send

Via = Literal["nostr17", "nostr04"]
_BOT: Final = Keys.parse(SECRET).public_key()
_CONNECTED_WITHIN_S: Final = 10.0
_AGAIN_S: Final = 0.2
_DAYS_2_S: Final = 2 * 24 * 3600
_SEAL, _WRAP, _OLD, _MAIL_RELAYS = 13, 1059, 4, 10_050
_KINDS: Final = {"message": 14, "file": 15, "reaction": 7, "deletion": 5}


@dataclass(frozen=True, slots=True)
class App:
    """Where a person reads, and by which protocol they write."""

    via: Via
    keys: Keys
    client: nostr_sdk.Client
    inbox: str  # "here", "none" or "dead": what their list of relays says


class NostrSeat:
    """One person with an app."""

    def __init__(self, app: App, stage: Stage) -> None:
        self._app = app
        self._stage = stage
        self._sights: list[Seen] = []
        self._numbers: dict[str, int] = {}  # of messages, by their ids
        self._wraps: set[str] = set()
        self._to_send: asyncio.Queue[nostr_sdk.Event] = asyncio.Queue()
        self._last: nostr_sdk.UnsignedEvent | None = None
        self._last_event: nostr_sdk.Event | None = None
        self._last_s = 0
        self._changed = asyncio.Event()
        self._realm = self.pubkey.to_hex()
        self._chance = random.Random(1)

    # What the person does

    def say(self, text: str, reply_to: Seen | None) -> None:
        """Write to the bot."""
        tags = [] if reply_to is None else [Tag.event(self._id_of(reply_to))]
        number = self._see("said", text)
        if self._app.via == "nostr04":
            self._send(self._old_message(text, tags))
            return
        self._send(self._gift(self._rumor("message", text, tags)))
        assert self._last is not None, "it was just written"
        rumor_id = self._last.ensure_id().id()
        assert rumor_id is not None, "it has one now"
        self._numbers[rumor_id.to_hex()] = number

    def press(self, label: str, card: Seen) -> None:
        """There is nothing to press. Raises NoSuchButton."""
        raise NoSuchButton(f'no "{label}": nothing has buttons on Nostr, not even {card.text!r}')

    def act(self, act: Act) -> None:
        """Write in a group, or change nothing that the bot could see."""
        assert act.verb == "group", f"nobody can {act.verb} on Nostr"
        another = Keys.generate().public_key()
        self._see("said", act.text)
        self._send(self._gift(self._rumor("message", act.text, [Tag.public_key(another)])))

    def send(self, send: Send) -> None:
        """Send what is no text, or what was sent before: again, in a new wrap, as a twin."""
        match send.kind:
            case "again":
                assert self._last_event is not None, "nothing was sent yet"
                self._send(self._last_event)
            case "rewrapped":
                assert self._last is not None, "nothing was sent yet"
                self._send(self._gift(self._last))
            case "twin":
                assert self._last is not None, "nothing was sent yet"
                self._send(self._old_message(self._last.content(), []))
            case kind:
                self._see("said", f"({kind})")
                self._send(self._gift(self._rumor(kind, send.caption or send.name, [])))

    # What the person sees

    def sees(self) -> Sequence[Seen]:
        """Everything so far."""
        return self._sights

    async def news(self, after: int, within_s: float) -> bool:
        """Wait until there is more than `after` sights; False where the time is over."""
        try:
            async with asyncio.timeout(within_s):
                while len(self._sights) <= after:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def read(self) -> None:
        """See what comes, for ever."""
        stream = self._app.client.notifications()
        mine = nostr_sdk.Filter().kinds([Kind(_WRAP), Kind(_OLD)]).pubkey(self.pubkey)
        await self._app.client.subscribe(nostr_sdk.ReqTarget.auto([mine]))
        while (notice := await stream.next()) is not None:
            if isinstance(notice, nostr_sdk.ClientNotification.NEW_EVENT):
                self._open(notice.event)

    async def write(self) -> None:
        """Send what there is to send, for ever; again where no relay took it."""
        if self._app.inbox != "none":
            await self._publish(self._own_relays())
        while True:
            await self._publish(await self._to_send.get())

    @property
    def pubkey(self) -> PublicKey:
        return self._app.keys.public_key()

    def _open(self, event: nostr_sdk.Event) -> None:
        if event.author().to_hex() == self.pubkey.to_hex() or event.id().to_hex() in self._wraps:
            return
        self._wraps.add(event.id().to_hex())
        if event.kind().as_u16() == _OLD:
            text = self._app.keys.nip04_decrypt(event.author(), event.content())
            self._heard(event.author(), event.id(), text, event.tags())
            return
        gift = nostr_sdk.UnwrappedGift.from_gift_wrap(self._app.keys, event)
        rumor = gift.rumor().ensure_id()
        rumor_id = rumor.id()
        assert rumor_id is not None, "it has one now"
        self._heard(gift.sender(), rumor_id, rumor.content(), rumor.tags())

    def _heard(
        self, sender: PublicKey, message: nostr_sdk.EventId, text: str, tags: list[Tag]
    ) -> None:
        assert sender.to_hex() == _BOT.to_hex(), "somebody else writes in the bot's name"
        answered = [tag.content() for tag in tags if tag.kind() == "e"]
        reply_to = self._numbers.get(answered[0] or "") if answered else None
        self._numbers[message.to_hex()] = self._see("sent", text, reply_to)

    def _see(self, what: Literal["said", "sent"], text: str, reply_to: int | None = None) -> int:
        number = len(self._sights) + 1
        at_s = time.time() + self._stage.offset_s
        self._sights.append(
            Seen(number, what, number, text, reply_to=reply_to, at_s=at_s, realm=self._realm)
        )
        self._changed.set()
        return number

    def _id_of(self, seen: Seen) -> nostr_sdk.EventId:
        found = next(key for key, number in self._numbers.items() if number == seen.number)
        return nostr_sdk.EventId.parse(found)

    # How it is put

    def _now(self) -> Timestamp:
        """Now, and later than what was written before: apps and bots sort by it."""
        self._last_s = max(int(time.time() + self._stage.offset_s), self._last_s + 1)
        return Timestamp.from_secs(self._last_s)

    def _rumor(self, kind: str, text: str, tags: list[Tag]) -> nostr_sdk.UnsignedEvent:
        builder = EventBuilder(Kind(_KINDS[kind]), text).tags([Tag.public_key(_BOT), *tags])
        self._last = builder.custom_created_at(self._now()).finalize_unsigned(self.pubkey)
        return self._last

    def _gift(self, rumor: nostr_sdk.UnsignedEvent) -> nostr_sdk.Event:
        """A wrap around it; where the story's clock was moved, its dates are moved, too."""
        if not self._stage.offset_s:
            return nostr_sdk.nip59_make_gift_wrap(self._app.keys, _BOT, rumor)
        keys, once = self._app.keys, Keys.generate()
        seal = EventBuilder(Kind(_SEAL), keys.nip44_encrypt(_BOT, rumor.ensure_id().as_json()))
        sealed = seal.custom_created_at(self._some_time_ago()).finalize(keys)
        wrap = EventBuilder(Kind(_WRAP), once.nip44_encrypt(_BOT, sealed.as_json()))
        dated = wrap.tags([Tag.public_key(_BOT)]).custom_created_at(self._some_time_ago())
        return dated.finalize(once)

    def _some_time_ago(self) -> Timestamp:
        return Timestamp.from_secs(self._last_s - self._chance.randrange(_DAYS_2_S))

    def _old_message(self, text: str, tags: list[Tag]) -> nostr_sdk.Event:
        builder = EventBuilder(Kind(_OLD), self._app.keys.nip04_encrypt(_BOT, text))
        dated = builder.tags([Tag.public_key(_BOT), *tags]).custom_created_at(self._now())
        return dated.finalize(self._app.keys)

    def _own_relays(self) -> nostr_sdk.Event:
        urls = ["ws://127.0.0.1:9"] if self._app.inbox == "dead" else self._stage.relays.urls
        tags = [Tag.parse(["relay", url]) for url in urls]
        return EventBuilder(Kind(_MAIL_RELAYS), "").tags(tags).finalize(self._app.keys)

    def _send(self, event: nostr_sdk.Event) -> None:
        self._last_event = event
        self._to_send.put_nowait(event)

    async def _publish(self, event: nostr_sdk.Event) -> None:
        while True:
            try:
                output = await self._app.client.send_event(event)
            except nostr_sdk.NostrSdkError:
                output = None
            if output is not None and output.success:
                return
            await asyncio.sleep(_AGAIN_S)


@asynccontextmanager
async def seat_on_nostr(stage: Stage, person: Cast) -> AsyncIterator[NostrSeat]:
    """A seat for this person, connected to all relays of the story, while the block runs."""
    assert stage.relays.urls, "a world with people on Nostr has relays, such as relays=2"
    nostr_sdk.nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())
    keys = Keys.generate()
    signer = nostr_sdk.SignerAuthenticator(keys)
    client = nostr_sdk.ClientBuilder().authenticator(signer).build()
    options = nostr_sdk.RelayOptions().retry_interval(timedelta(seconds=1))
    for url in stage.relays.urls:
        await client.add_relay(
            nostr_sdk.RelayUrl.parse(url), opts=options.adjust_retry_interval(False)
        )
    await client.connect(timedelta(seconds=_CONNECTED_WITHIN_S))
    via: Via = "nostr04" if person.channel == "nostr04" else "nostr17"
    seat = NostrSeat(App(via, keys, client, person.inbox), stage)
    work = [asyncio.create_task(seat.read()), asyncio.create_task(seat.write())]
    try:
        yield seat
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await client.shutdown()
