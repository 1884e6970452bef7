"""What others may send: nothing of it has an effect, and nobody waits for it."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable

import orjson
import pytest

from bots import nip44, nip59
from bots.nip01 import Draft
from bots.pynostr_keys import encrypt_nip04
from tests.bots.nostr_people import (
    NOW_S,
    closed,
    dumps,
    gift,
    gift_of,
    person,
    rumor,
    seal_of,
    with_broken_signature,
)
from tests.bots.nostr_world import BOT, Bot, bot_on
from tests.simulator.relay import FaultRelay, Json

ALICE, MALLORY = person("alice"), person("mallory")
HONEST = dumps(rumor(ALICE, BOT, "a lie"))
DAY_S = 24 * 3600
STALL_S_MAX = 0.025
FLOOD = 5_000


@pytest.fixture
async def relay() -> AsyncIterator[FaultRelay]:
    async with FaultRelay() as relay:
        yield relay


@pytest.fixture
async def bot(relay: FaultRelay) -> AsyncIterator[Bot]:
    async with bot_on(relay) as bot:
        yield bot


def honest(message: Draft) -> nip59.Event:
    return gift(message, ALICE, BOT)


def sealed_as(payload: str) -> nip59.Event:
    seal = ALICE.sign(ALICE.draft(nip59.SEAL, payload, created_at=NOW_S))
    return gift_of(dumps(seal), BOT)


def payload_of_version(version: bytes) -> str:
    payload = nip44.base64.b64decode(closed(HONEST, ALICE, BOT))
    return nip44.base64.b64encode(version + payload[1:]).decode()


def payload_with_bad_mac() -> str:
    payload = nip44.base64.b64decode(closed(HONEST, ALICE, BOT))
    return nip44.base64.b64encode(payload[:-1] + bytes([payload[-1] ^ 1])).decode()


def payload_with_bad_padding() -> str:
    """A length that is not that of the text, under a MAC that is right."""
    key, nonce = nip44.conversation_key(ALICE.secret, BOT.pubkey), bytes(32)
    cipher_key, cipher_nonce, mac_key = nip44.message_keys(key, nonce)
    plain = (900).to_bytes(2, "big") + HONEST.ljust(nip44.padded_length(len(HONEST)), b"\0")
    hidden = nip44._chacha20(cipher_key, cipher_nonce, plain)
    mac = nip44.hmac.digest(mac_key, nonce + hidden, "sha256")
    return nip44.base64.b64encode(b"\x02" + nonce + hidden + mac).decode()


def old_message(text: str, *, at_s: int = NOW_S, to: tuple[str, ...] = (BOT.pubkey,)) -> Draft:
    content = encrypt_nip04(text, author=ALICE, receiver=BOT.pubkey, seed=b"seed")
    return ALICE.draft(4, content, created_at=at_s, tags=[["p", each] for each in to])


LIES: dict[str, Callable[[], nip59.Event]] = {
    "the seal's key is not the rumor's": lambda: gift_of(dumps(seal_of(HONEST, MALLORY, BOT)), BOT),
    "the wrap's signature is broken": lambda: with_broken_signature(
        honest(rumor(ALICE, BOT, "a lie"))
    ),
    "the seal's signature is broken": lambda: gift_of(
        dumps(with_broken_signature(seal_of(HONEST, ALICE, BOT))), BOT
    ),
    "the seal is of another kind": lambda: gift_of(
        dumps(seal_of(HONEST, ALICE, BOT, kind=14)), BOT
    ),
    "the rumor is a public note": lambda: honest(rumor(ALICE, BOT, "a lie", kind=1)),
    "the rumor is a reaction": lambda: honest(rumor(ALICE, BOT, "a lie", kind=7)),
    "a public note to us": lambda: ALICE.sign(
        ALICE.draft(1, "a lie", created_at=NOW_S, tags=[["p", BOT.pubkey]])
    ),
    "others read along": lambda: honest(
        rumor(ALICE, BOT, "a lie", tags=[["p", BOT.pubkey], ["p", MALLORY.pubkey]])
    ),
    "the rumor is for another": lambda: honest(
        rumor(ALICE, BOT, "a lie", tags=[["p", MALLORY.pubkey]])
    ),
    "the rumor is for nobody": lambda: honest(rumor(ALICE, BOT, "a lie", tags=[])),
    "it is from the future": lambda: honest(rumor(ALICE, BOT, "a lie", at_s=NOW_S + 901)),
    "it is four days old": lambda: honest(rumor(ALICE, BOT, "a lie", at_s=NOW_S - 4 * DAY_S)),
    "version 1 of the encryption": lambda: sealed_as(payload_of_version(b"\x01")),
    "version 3 of the encryption": lambda: sealed_as(payload_of_version(b"\x03")),
    "a bad MAC": lambda: sealed_as(payload_with_bad_mac()),
    "a bad padding": lambda: sealed_as(payload_with_bad_padding()),
    "we are said to have written it": lambda: gift(rumor(BOT, BOT, "a lie"), BOT, BOT),
    "a megabyte": lambda: MALLORY.sign(
        MALLORY.draft(nip59.WRAP, "A" * 2**20, created_at=NOW_S, tags=[["p", BOT.pubkey]])
    ),
    "100 KB that decipher to nothing": lambda: MALLORY.sign(
        MALLORY.draft(nip59.WRAP, "A" * 100_000, created_at=NOW_S, tags=[["p", BOT.pubkey]])
    ),
    "an old message with a broken signature": lambda: with_broken_signature(
        ALICE.sign(old_message("a lie"))
    ),
    "an old message to several": lambda: ALICE.sign(
        old_message("a lie", to=(BOT.pubkey, MALLORY.pubkey))
    ),
    "an old message from the future": lambda: ALICE.sign(old_message("a lie", at_s=NOW_S + 901)),
    "an old message that nobody can decipher": lambda: ALICE.sign(
        ALICE.draft(4, "a lie", created_at=NOW_S, tags=[["p", BOT.pubkey]])
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_lie_has_no_effect_and_what_comes_after_it_has(
    lie: Callable[[], nip59.Event], relay: FaultRelay, bot: Bot
) -> None:
    await relay.push(orjson.loads(dumps(lie())))
    await relay.push(orjson.loads(dumps(honest(rumor(ALICE, BOT, "The truth.")))))

    await bot.desk.receive("The truth.")
    async with asyncio.timeout(10):
        assert await bot.say(ALICE, "Thanks.")
    assert bot.desk.texts == ["The truth."]


async def test_the_same_rumor_in_fifty_wraps_is_one_message(relay: FaultRelay, bot: Bot) -> None:
    message = rumor(ALICE, BOT, "Once.")
    for number in range(50):
        await relay.push(orjson.loads(dumps(gift(message, ALICE, BOT, seed=str(number)))))
    await relay.push(orjson.loads(dumps(honest(rumor(ALICE, BOT, "The end.")))))

    await bot.desk.receive("Once.", "The end.")


async def test_a_forgery_that_comes_first_does_not_keep_the_true_event_out(
    relay: FaultRelay, bot: Bot
) -> None:
    event = honest(rumor(ALICE, BOT, "The truth."))
    for forgery in (with_broken_signature(event).to_json(), {**event.to_json(), "content": "No."}):
        await relay.say(orjson.dumps(["EVENT", "mail1059", forgery]).decode())

    await relay.push(orjson.loads(dumps(event)))

    await bot.desk.receive("The truth.")


async def test_a_flood_of_bad_events_keeps_nobody_waiting(relay: FaultRelay, bot: Bot) -> None:
    frames = [orjson.dumps(["EVENT", "mail1059", event]).decode() for event in flood()]
    await relay.until(lambda: relay.listeners == 2)
    flooding = asyncio.create_task(asyncio.to_thread(len, frames))
    await flooding
    gc.collect()
    gc.freeze()  # or the flood, which is the test's own, would be searched for garbage
    watching = asyncio.create_task(waited_too_long())

    for number, frame in enumerate(frames):
        await relay.say(frame)
        if number % 20 == 0:
            await asyncio.sleep(0)
    await relay.push(orjson.loads(dumps(honest(rumor(ALICE, BOT, "The truth.")))))
    await bot.desk.receive("The truth.")

    gc.unfreeze()
    watching.cancel()
    assert await watching < STALL_S_MAX


def flood() -> list[Json]:
    """Events whose signatures are broken: each has to be looked at in full."""
    event = honest(rumor(ALICE, BOT, "a lie" * 100)).to_json()
    flood = []
    for number in range(FLOOD):
        draft = Draft(event["pubkey"], NOW_S - number, 1059, event["tags"], event["content"])
        flood.append({**draft.to_json(), "sig": event["sig"]})
    return flood


async def waited_too_long() -> float:
    """By how much others had to wait longer than they may, in all, until this is cancelled.

    In the time of this thread alone, for the machine has other work as well; and even so a virtual
    machine stands still for some milliseconds now and then.
    """
    too_long_s, before_s = 0.0, time.thread_time()
    try:
        while True:
            await asyncio.sleep(0)
            now_s = time.thread_time()
            too_long_s += max(0.0, now_s - before_s - STALL_S_MAX)
            before_s = now_s
    except asyncio.CancelledError:
        return too_long_s
