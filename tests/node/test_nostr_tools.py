"""We and nostr-tools read each other, and talk over a relay of nostr-sdk that demands AUTH."""

from collections.abc import AsyncIterator

import nostr_sdk
import orjson
import pytest

from bots import nip44, nip59
from bots.channel import Sent
from bots.nip01 import read_event
from core.values.mail import Result
from tests.bots.nostr_people import dumps, gift, person, rumor
from tests.bots.nostr_world import BOT, ShiftedClock, bot_on
from tests.node.nostr_tools import Person, person_of

ALICE = person("alice")
TEXTS = [
    "Sort these names: Zoe, Adam, Mia.",
    "x",
    'ü "🥎" \\ \n\t\x01\x7f \u2028 end',
    "x" * 20_000,
    "é" * 10_000,
]
each_text = pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))


@pytest.fixture
async def alice() -> AsyncIterator[Person]:
    async with person_of(ALICE) as alice:
        yield alice


@each_text
async def test_nostr_tools_opens_our_gifts(text: str, alice: Person) -> None:
    event = orjson.loads(dumps(gift(rumor(BOT, ALICE, text), BOT, ALICE)))

    opened = await alice.do("unwrap", event=event)

    assert opened == orjson.loads(dumps(rumor(BOT, ALICE, text)))


@each_text
async def test_we_open_the_gifts_of_nostr_tools(text: str, alice: Person) -> None:
    event = read_event(await alice.do("wrap", to=BOT.pubkey, text=text))

    opened = nip59.unwrap(event, BOT)

    assert event.is_genuine
    assert (opened.pubkey, opened.content) == (ALICE.pubkey, text)


@each_text
async def test_texts_are_encrypted_alike(text: str, alice: Person) -> None:
    key = nip44.conversation_key(BOT.secret, ALICE.pubkey)

    theirs = await alice.do("encrypt", to=BOT.pubkey, text=text)
    ours = nip44.encrypt(text, key=key, nonce=bytes(range(32)))

    assert nip44.decrypt(theirs, key=key) == text
    assert await alice.do("decrypt", **{"from": BOT.pubkey}, payload=ours) == text


async def test_the_longer_form_is_read_alike(alice: Person) -> None:
    text = "x" * 70_000

    theirs = await alice.do("encrypt", to=BOT.pubkey, text=text)

    key = nip44.conversation_key(BOT.secret, ALICE.pubkey)
    assert nip44.decrypt(theirs, key=key) == text


@pytest.mark.parametrize("way", ["wrap", "old"])
async def test_nostr_tools_and_the_bot_talk_over_a_relay_that_demands_auth(
    way: str, alice: Person
) -> None:
    strict = nostr_sdk.LocalRelayBuilderNip42(mode=nostr_sdk.LocalRelayBuilderNip42Mode.BOTH)
    relay = nostr_sdk.LocalRelayBuilder().addr("127.0.0.1").nip42(strict).build()
    await relay.run()
    url, clock = str(await relay.url()), ShiftedClock()
    clock.now_s = nostr_sdk.Timestamp.now().as_secs()
    async with bot_on(url, clock=clock) as bot:
        assert await alice.do("connect", url=url) == ALICE.pubkey
        await alice.do("listen")
        event = await alice.do(way, to=BOT.pubkey, text="Sort these names.")

        await alice.do("publish", event=event)
        await bot.desk.receive("Sort these names.")
        (question,) = bot.desk.mail.values()
        result = Result("word " * 3_000, "7F3K.md", foot="#7F3K done")
        outcomes = await bot.say(ALICE, result, via=question.via, reply_to=question.message_id)

        assert [type(outcome) for outcome in outcomes] == [Sent, Sent]
        parts = await alice.do("heard", count=2)
        assert [part[:5] for part in parts] == ["(1/2)", "(2/2)"]
        assert parts[1].endswith("#7F3K done")
    relay.shutdown()
