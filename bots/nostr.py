"""The Nostr bot: private messages by NIP-17, answered as such, and the old ones of NIP-04 likewise.

Who we are and where we read is published (kinds 0, 10002 and 10050), for many clients write only
to those who say so. A message is drawn from its letter, so that a repetition is the same event
again and nobody sees it twice.
"""

import asyncio
import hmac
import random
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import orjson
import structlog
import yarl

from bots import nip59
from bots.channel import Bad, Caps, Office, Outcome, Shown, TryAgain
from bots.nip01 import Event, is_hex_32
from bots.nostr_intake import Intake
from bots.nostr_letters import NIP04, Message, messages_of
from bots.nostr_line import Json, Taken
from bots.nostr_mail import CHANNEL, Mailbox
from bots.nostr_places import MAIL_RELAYS, RELAYS, Places, clean_url
from bots.nostr_post import Post
from bots.nostr_relay import OLD_MESSAGE, Patience, Relay, Visitor
from bots.pynostr_keys import encrypt_nip04, signer_of
from core.net import Names, is_public
from core.values.clock import Clock
from core.values.mail import File, Letter, Peer

log = structlog.get_logger(__name__)

_PROFILE = 0
_MAIL_RELAYS_MAX = 3  # NIP-17 advises one to three
_DAY_S = 24 * 3600.0
_PROFILE_AGAIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What the bot says of itself; empty fields are not published."""

    name: str
    about: str
    nip05: str = ""
    lud16: str = ""


class NostrChannel:
    """An adapter for `bots.channel`."""

    name = CHANNEL
    caps = Caps(
        has_buttons=False,
        can_edit=False,
        can_preview=False,
        per_peer_per_s=1.0,
        burst=3,
        per_s=10.0,  # what relays let one connection say
        is_idempotent=True,
    )

    def __init__(
        self,
        *,
        secret_key: str,
        relays: Sequence[str],
        profile: Profile,
        names: Names,
        clock: Clock,
        chance: random.Random,
        patience: Patience | None = None,
    ) -> None:
        """`names` is closed by whoever made it. Raises ValueError where the key is none."""
        self._me = signer_of(secret_key)
        self.realm = self._me.pubkey
        self._urls = tuple(dict.fromkeys(clean_url(relay) for relay in relays))
        self._profile = profile
        self._names = names
        self._clock = clock
        self._chance = chance
        self._patience = patience or Patience()
        # Of its own, for what it draws is seen by others.
        self._seed = hmac.digest(self._me.secret, b"boltwork: chance of messages", "sha256")
        self._session: aiohttp.ClientSession | None = None
        self._relays: dict[str, Relay] = {}
        self._post: Post
        self._intake: Intake

    @property
    def address(self) -> str:
        """Nostr has no one place on the web."""
        return ""

    @property
    def relays_up(self) -> int:
        """To how many of our relays there is a connection now."""
        return sum(relay.is_up for relay in self._relays.values())

    async def open(self) -> None:
        """Get ready; relays that are away do not keep anything from starting."""
        await self.aclose()  # it may be opened again after a failure
        self._session = session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._relays = {
            url: Relay(
                url,
                session=session,
                signer=self._me,
                clock=self._clock,
                chance=self._chance,
                patience=self._patience,
            )
            for url in self._urls
        }
        ours = tuple(self._relays.values())
        places = Places(ours, clock=self._clock, answer_s=self._patience.lists_s)
        visitor = Visitor(
            names=self._names,
            signer=self._me,
            clock=self._clock,
            patience=self._patience,
            may_call=_anything if await self._are_we_private() else is_public,
        )
        self._post = Post(self._relays, places=places, visitor=visitor, clock=self._clock)
        self._intake = Intake(
            Mailbox(self._me), clock=self._clock, hold_s=self._patience.hold_s, seen=places.note
        )

    async def run(self, office: Office) -> None:
        """Take mail in from all relays, and say who we are; never returns."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._intake.run(office))
            for relay in self._relays.values():
                tasks.create_task(self._hear(relay))
                tasks.create_task(self._keep_published(relay))

    def plan(self, letter: Letter, _: Shown | None) -> Sequence[Message]:
        """The messages of a letter, which need its `at_ms`. Pure: the same again gives the same."""
        return messages_of(letter)

    async def perform(self, peer: Peer, step: Message) -> Outcome:
        """Send a message; it is the same event each time."""
        try:
            event, ext_id = self._event_of(step, peer.uid)
        except ValueError as fault:
            return Bad(f"it cannot be written: {fault}")
        return await self._post.deliver(event, peer.uid, via=step.via, ext_id=ext_id)

    async def preview(self, peer: Peer, stream: int, text: str) -> None:
        """Nothing: a message cannot be changed."""

    async def show_activity(self, peer: Peer) -> None:
        """Nothing: there is no sign for it."""

    async def fetch(self, file: File, bytes_max: int) -> bytes:  # noqa: ARG002 - the boundary's
        """No file comes in. Raises TryAgain."""
        raise TryAgain("no file comes in on Nostr")

    async def aclose(self) -> None:
        """Release what the adapter holds."""
        if self._session is not None:
            await self._post.aclose()
            await self._session.close()

    def _event_of(self, step: Message, receiver: str) -> tuple[Event, str]:
        """The event, and the id of the message in it. Raises ValueError where there is no key."""
        if not is_hex_32(receiver):
            raise ValueError("the receiver is no key")
        tags = [["p", receiver], *([["e", step.reply_to]] if step.reply_to else [])]
        if step.via == NIP04:
            seed = self._seed + step.created_at.to_bytes(8, "big")
            content = encrypt_nip04(step.text, author=self._me, receiver=receiver, seed=seed)
            old = self._me.draft(OLD_MESSAGE, content, created_at=step.created_at, tags=tags)
            return self._me.sign(old), old.id
        rumor = self._me.draft(nip59.MESSAGE, step.text, created_at=step.created_at, tags=tags)
        wrap = nip59.wrap(rumor, author=self._me, receiver=receiver, seed=self._seed)
        return wrap, rumor.id

    async def _hear(self, relay: Relay) -> None:
        async def take(event: Json) -> None:
            await self._intake.put(relay.url, event)

        await relay.run(take)

    async def _keep_published(self, relay: Relay) -> None:
        """Say there who we are, once a day; never returns."""
        while True:
            await relay.connected()
            verdicts = [await relay.publish(event) for event in self._about_us()]
            is_done = all(verdict == Taken() for verdict in verdicts)
            await self._clock.sleep(_DAY_S if is_done else _PROFILE_AGAIN_S)

    def _about_us(self) -> list[Event]:
        fields = {
            "name": self._profile.name,
            "about": self._profile.about,
            "nip05": self._profile.nip05,
            "lud16": self._profile.lud16,
        }
        said = {"bot": True, **{name: text for name, text in fields.items() if text}}
        now_s = self._clock.now_ms() // 1000
        drafts: tuple[tuple[int, str, list[list[str]]], ...] = (
            (_PROFILE, orjson.dumps(said).decode(), []),
            (RELAYS, "", [["r", url] for url in self._urls]),
            (MAIL_RELAYS, "", [["relay", url] for url in self._urls[:_MAIL_RELAYS_MAX]]),
        )
        return [
            self._me.sign(self._me.draft(kind, content, created_at=now_s, tags=tags))
            for kind, content, tags in drafts
        ]

    async def _are_we_private(self) -> bool:
        """Whether all our relays are in a network of their own, as in tests."""
        for url in map(yarl.URL, self._urls):
            try:
                async with asyncio.timeout(self._patience.connect_s):
                    found = await self._names.addresses_of(url.host or "", url.port or 443)
            except OSError:  # TimeoutError is one
                return False
            if any(map(is_public, found)):
                return False
        return True


def _anything(_address: str) -> bool:
    """Any address: our own relays are no public ones either."""
    return True
