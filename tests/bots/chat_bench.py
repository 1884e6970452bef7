"""The conversation on a running core, without a channel: what is written, what is answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bots import catalogue
from bots.alarms import Alarms
from bots.app import shop_of
from bots.office import conversation_of
from bots.operator import Operator
from bots.stage import Stage
from bots.talk import Conversation
from core.app_operator import admin_desk
from core.books import people
from core.books.decisions import give
from core.config import load
from core.values.mail import Body, Inbound, Letter, Peer, Presence, Press, Text
from core.values.money import Msat
from tests.conftest import Database
from tests.world import World, opened

REALM = "7000000001"


def on_telegram(uid: int) -> Peer:
    return Peer("telegram", REALM, str(uid))


OLGA, ANNA, BEN = on_telegram(1001), on_telegram(2002), on_telegram(3003)  # Olga is the operator


@dataclass(eq=False)
class Chat:
    """Everybody's chats with one core."""

    world: World
    conversation: Conversation
    alarms: Alarms
    errors: list[str]
    _count: int = field(default=0)

    async def says(self, peer: Peer, text: str, *, via: str = "") -> list[str]:
        """Have somebody write this; the texts that are answered, to whomever."""
        await self._take(peer, Text(text), via)
        return [letter.content.text for letter in await self.letters()]

    async def presses(self, peer: Peer, label: str, on: Letter) -> list[str]:
        buttons = [button for row in on.content.buttons for button in row]
        button = next(button for button in buttons if button.label == label)
        await self._take(peer, Press(button.verb, button.ref, button.version), "")
        return [letter.content.text for letter in await self.letters()]

    async def asked(self, peer: Peer, text: str) -> Letter:
        """Have somebody write this; the one letter that is answered."""
        await self._take(peer, Text(text), "")
        (letter,) = await self.letters()
        return letter

    async def is_lost(self, peer: Peer) -> None:
        """Somebody blocks the bot, and the channel says so."""
        await self._take(peer, Presence(is_reachable=False), "")

    async def hears(self, peer: Peer, text: str) -> None:
        """Have somebody write this; the answers wait to be said."""
        await self._take(peer, Text(text), "")

    async def is_given(self, peer: Peer, sats: int) -> None:
        """Somebody who has written before gets a balance."""
        contact = await self.world.store.read(people.contact, peer)
        assert contact is not None
        self._count += 1
        ref, amount = f"t{self._count}", Msat(sats * 1000)
        await self.world.store.write(
            give, contact.session_id, amount, ref=ref, reason="test", now_ms=1
        )

    async def letters(self) -> list[Letter]:
        """What waits to be said, now said."""
        mail, said = self.world.core.desk.mail, []
        for channel in ("telegram", "nostr"):
            while waiting := await mail.letters(channel, REALM):
                for queued in waiting:
                    said.append(queued.letter)
                    await mail.sent(queued, None)
        return said

    async def read_all(self) -> None:
        """Answer all mail there is."""
        mail = self.world.core.desk.mail
        for session_id in await mail.claim(100):
            while (piece := await mail.next_mail(session_id)) is not None:
                await self.conversation.answer(piece)
            await mail.let_go(session_id)

    async def _take(self, peer: Peer, body: Body, via: str) -> None:
        self._count += 1
        inbound = Inbound(
            peer=peer, ext_id=str(self._count), body=body, at_ms=self.world.clock.now_ms(), via=via
        )
        await self.world.core.desk.people.take([(inbound, "en")])
        await self.read_all()


@asynccontextmanager
async def opened_chat(database: Database, **settings: str) -> AsyncIterator[Chat]:
    """A core and its conversation, with Olga for an operator."""
    async with opened(database, **settings) as world:
        config = load(None, {f"BOLTWORK_{name}": text for name, text in settings.items()})
        texts, desk = catalogue.load(("en", "de")), world.core.desk
        errors: list[str] = []
        admin = admin_desk(world.core)
        nostr_olga = Peer("nostr", REALM, "ab" * 32)
        operator = Operator(
            desk=admin,
            people=desk.people,
            peers=frozenset({OLGA, nostr_olga}),
            id_of=str,
            last_errors=lambda: errors,
        )
        conversation = conversation_of(
            desk,
            shop_of(config),
            texts,
            stage=Stage(desk.jobs, desk.clock),
            operator=operator,
            fetch=_no_file,
            private_url=str,
        )
        alarms = Alarms(
            desk=admin,
            mail=desk.mail,
            catalogue=texts,
            peers=[OLGA],
            lnbits_url="https://lnbits.example",
            model_url="https://model.example/v1",
        )
        yield Chat(world, conversation, alarms, errors)


async def _no_file(_peer: object, _file: object, _bytes_max: int) -> bytes:
    raise AssertionError("no file comes in here")
