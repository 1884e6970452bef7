"""The Nostr bot on two relays and more: who reaches whom, and by which road."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import nostr_sdk
import orjson
import pytest

from bots import nip59
from bots.channel import Bad, Sent, TryAgain, TryLater
from bots.nip01 import Draft, Event, Signer, read_event
from bots.nostr_letters import Message
from bots.nostr_places import MAIL_RELAYS, RELAYS
from bots.pynostr_keys import decrypt_nip04, encrypt_nip04
from core.values.mail import INVOICE, Bill, File, Peer, Result, Unsupported
from tests.bots.nostr_people import NOW_S, dumps, gift, person, rumor
from tests.bots.nostr_world import BOT, HASTE, Bot, Desk, ShiftedClock, bot_on
from tests.simulator.relay import FaultRelay, Json

ALICE = person("alice")
HOUR_S = 3600


@pytest.fixture
async def relay() -> AsyncIterator[FaultRelay]:
    async with FaultRelay() as relay:
        yield relay


@pytest.fixture
async def other() -> AsyncIterator[FaultRelay]:
    async with FaultRelay() as relay:
        yield relay


@pytest.fixture
async def bot(relay: FaultRelay, other: FaultRelay) -> AsyncIterator[Bot]:
    async with bot_on(relay, other) as bot:
        yield bot


def as_json(event: Event) -> Json:
    return orjson.loads(dumps(event))


def gift_json(text: str, *, at_s: int = NOW_S, author: Signer = ALICE, seed: str = "") -> Json:
    return as_json(gift(rumor(author, BOT, text, at_s=at_s), author, BOT, seed=seed))


def old_json(text: str, *, at_s: int = NOW_S, tags: Sequence[Sequence[str]] | None = None) -> Json:
    content = encrypt_nip04(text, author=ALICE, receiver=BOT.pubkey, seed=b"seed")
    chosen = [["p", BOT.pubkey]] if tags is None else tags
    return as_json(ALICE.sign(ALICE.draft(4, content, created_at=at_s, tags=chosen)))


def list_json(kind: int, tags: Sequence[Sequence[str]], *, at_s: int = NOW_S) -> Json:
    return as_json(ALICE.sign(ALICE.draft(kind, "", created_at=at_s, tags=tags)))


def received(relay: FaultRelay, receiver: Signer = ALICE) -> list[Draft]:
    """The rumors that somebody reads on this relay, in the order of their time."""
    found = [
        nip59.unwrap(read_event(event), receiver)
        for event in relay.of(kind=nip59.WRAP, receiver=receiver.pubkey)
    ]
    return sorted(found, key=lambda message: message.created_at)


async def test_the_bot_says_who_it_is_and_where_it_reads(
    relay: FaultRelay, other: FaultRelay, bot: Bot
) -> None:
    for each in (relay, other):
        await each.until(lambda each=each: len(each.events) == 3)

        profile, relays, mail = each.events

        assert orjson.loads(profile["content"]) == {
            "bot": True,
            "name": "Bolt",
            "about": "Work for sats.",
        }
        assert [event["kind"] for event in each.events] == [0, RELAYS, MAIL_RELAYS]
        assert relays["tags"] == [["r", relay.url], ["r", other.url]]
        assert mail["tags"] == [["relay", relay.url], ["relay", other.url]]
        assert bot.channel.realm == mail["pubkey"] == BOT.pubkey


async def test_a_message_comes_in_once_from_both_relays(
    relay: FaultRelay, other: FaultRelay, bot: Bot
) -> None:
    message = gift_json("Sort these names.")

    await relay.push(message)
    await other.push(message)
    await relay.push(gift_json("And these."))

    await bot.desk.receive("Sort these names.", "And these.")
    first = next(iter(bot.desk.mail.values()))
    assert (first.peer.channel, first.peer.realm, first.via) == ("nostr", BOT.pubkey, "nip17")
    assert first.peer.uid == ALICE.pubkey
    assert first.at_ms == NOW_S * 1000
    assert first.ext_id == first.message_id


async def test_an_answer_goes_where_its_question_was_seen(
    relay: FaultRelay, other: FaultRelay, bot: Bot
) -> None:
    await relay.push(gift_json("Hello?"))
    await bot.desk.receive("Hello?")
    question = next(iter(bot.desk.mail.values()))

    outcomes = await bot.say(ALICE, "Hi.", reply_to=question.message_id)

    (answer,) = received(relay)
    assert outcomes == [Sent(answer.id)]
    assert (answer.content, answer.pubkey, answer.kind) == ("Hi.", BOT.pubkey, nip59.MESSAGE)
    assert answer.tags == (("p", ALICE.pubkey), ("e", question.ext_id))
    assert received(other) == []


async def test_the_same_letter_again_is_the_same_event(relay: FaultRelay, bot: Bot) -> None:
    await relay.push(gift_json("Hello?"))
    await bot.desk.receive("Hello?")

    first = await bot.say(ALICE, "Hi.")
    second = await bot.say(ALICE, "Hi.")

    assert first == second
    assert len(received(relay)) == 1
    async with bot_on(relay) as restarted:
        await restarted.desk.receive("Hello?")
        assert await restarted.say(ALICE, "Hi.") == first
    assert len(received(relay)) == 1
    offers = [event for event in relay.offered if event["kind"] == nip59.WRAP]
    assert offers[0] == offers[1] == offers[2]


async def test_an_answer_goes_to_the_relays_that_its_receiver_names_for_it(
    relay: FaultRelay, other: FaultRelay, bot: Bot
) -> None:
    async with FaultRelay() as theirs:
        await relay.push(list_json(MAIL_RELAYS, [["relay", f"{other.url}/old"]], at_s=NOW_S - 9))
        await other.push(list_json(MAIL_RELAYS, [["relay", f"{theirs.url}/"]]))
        await relay.push(gift_json("Hello?"))
        await bot.desk.receive("Hello?")

        (outcome,) = await bot.say(ALICE, "Hi.")

        assert [message.content for message in received(theirs)] == ["Hi."]
        assert isinstance(outcome, Sent)
        assert received(relay) == received(other) == []


async def test_an_answer_reaches_whom_names_no_relays_for_it_where_they_read(
    relay: FaultRelay, bot: Bot
) -> None:
    async with FaultRelay() as theirs:
        await relay.push(
            list_json(RELAYS, [["r", "ws://127.0.0.1:9", "write"], ["r", theirs.url, "read"]])
        )

        (outcome,) = await bot.say(ALICE, "Hi.")

        assert [message.content for message in received(theirs)] == ["Hi."]
        assert isinstance(outcome, Sent)


async def test_an_answer_goes_back_where_the_receivers_own_relay_is_dead(
    relay: FaultRelay, bot: Bot
) -> None:
    async with FaultRelay() as dead:
        url = dead.url
    await relay.push(list_json(MAIL_RELAYS, [["relay", url]]))
    await relay.push(gift_json("Hello?"))
    await bot.desk.receive("Hello?")

    (outcome,) = await bot.say(ALICE, "Hi.")

    assert isinstance(outcome, Sent)
    assert [message.content for message in received(relay)] == ["Hi."]


async def test_what_only_our_own_relays_took_is_brought_along_with_the_next_message(
    relay: FaultRelay, bot: Bot
) -> None:
    async with FaultRelay() as theirs:
        (first,) = await bot.say(ALICE, "Hi.")
        alone = received(relay)
        await relay.push(list_json(MAIL_RELAYS, [["relay", theirs.url]]))
        await relay.push(gift_json("Hello?"))
        await bot.desk.receive("Hello?")
        await bot.say(ALICE, "Are you there?")

        assert isinstance(first, Sent)
        assert [message.content for message in alone] == ["Hi."]
        assert {message.content for message in received(theirs)} == {"Hi.", "Are you there?"}


async def test_a_relay_that_wants_to_know_us_is_told_for_reading_and_for_writing() -> None:
    async with FaultRelay() as strict, FaultRelay() as theirs:
        strict.needs_auth_to_read = strict.needs_auth_to_write = True
        theirs.needs_auth_to_write = True
        await strict.push(gift_json("Hello?"))
        async with bot_on(strict) as bot:
            await bot.desk.receive("Hello?")
            await strict.until(lambda: len(strict.of(kind=MAIL_RELAYS)) == 1)
            await strict.push(list_json(MAIL_RELAYS, [["relay", theirs.url]]))

            (outcome,) = await bot.say(ALICE, "Hi.")

        assert isinstance(outcome, Sent)
        assert strict.people == theirs.people == {BOT.pubkey}
        assert [message.content for message in received(theirs)] == ["Hi."]


async def test_an_old_message_is_answered_by_an_old_message(relay: FaultRelay, bot: Bot) -> None:
    await relay.push(old_json("[//]: # (nip18)\n  [//]: # (nip18) Sort these names."))
    await bot.desk.receive("Sort these names.")
    (question,) = bot.desk.mail.values()

    outcomes = await bot.say(ALICE, "Done.", via=question.via, reply_to=question.message_id)

    (answer,) = relay.of(kind=4, receiver=ALICE.pubkey)
    assert decrypt_nip04(answer["content"], author=BOT.pubkey, reader=ALICE) == "Done."
    assert answer["tags"] == [["p", ALICE.pubkey], ["e", question.ext_id]]
    assert (question.via, outcomes) == ("nip04", [Sent(answer["id"])])
    assert await bot.say(ALICE, "Done.", via="nip04", reply_to=question.message_id) == outcomes
    assert len(relay.of(kind=4, receiver=ALICE.pubkey)) == 1


async def test_a_text_that_comes_by_both_protocols_is_one_message(
    relay: FaultRelay, other: FaultRelay, bot: Bot
) -> None:
    await relay.push(old_json("Sort these names.", at_s=NOW_S - 60))
    await other.push(gift_json("Sort these names."))
    await other.push(old_json("Something else."))
    await bot.desk.receive("Sort these names.", "Something else.")

    async with bot_on(relay, other, patience=replace(HASTE, hold_s=1.0)) as restarted:
        await restarted.desk.receive("Sort these names.", "Something else.")

        assert restarted.desk.mail.keys() == bot.desk.mail.keys()
        assert {mail.via: mail.body.text for mail in restarted.desk.mail.values()} == {
            "nip17": "Sort these names.",
            "nip04": "Something else.",
        }


async def test_a_bill_is_a_text_and_then_the_bare_invoice(relay: FaultRelay, bot: Bot) -> None:
    await relay.push(gift_json("Sort these names."))
    await bot.desk.receive("Sort these names.")

    bill = Bill(f"Check: 21 sat.\n{INVOICE}\nValid 15 min.", "lnbc210n1x", None, hint="Say once.")
    await bot.say(ALICE, bill)

    texts = [message.content for message in received(relay)]
    assert texts == ["Check: 21 sat.\nValid 15 min.\n\nSay once.", "lnbc210n1x"]


async def test_a_long_result_comes_in_numbered_parts(relay: FaultRelay, bot: Bot) -> None:
    await relay.push(gift_json("Write a lot."))
    await bot.desk.receive("Write a lot.")

    outcomes = await bot.say(ALICE, Result("word " * 4_000, "7F3K.md", foot="#7F3K done"))

    parts = [message.content for message in received(relay)]
    assert [part[:5] for part in parts] == ["(1/3)", "(2/3)", "(3/3)"]
    assert parts[-1].endswith("#7F3K done")
    assert len(outcomes) == 3


async def test_a_file_is_told_to_be_one(relay: FaultRelay, bot: Bot) -> None:
    photo = rumor(ALICE, BOT, "https://example.org/x", kind=nip59.FILE_MESSAGE)
    await relay.push(as_json(gift(photo, ALICE, BOT)))

    await bot.desk.until(lambda: len(bot.desk.mail) == 1)

    assert next(iter(bot.desk.mail.values())).body == Unsupported("file")


async def test_mail_that_came_while_the_database_was_away_is_kept(
    relay: FaultRelay, bot: Bot
) -> None:
    bot.desk.failures = 1

    await relay.push(gift_json("Hello?"))

    await bot.desk.receive("Hello?")


async def test_while_no_relay_is_connected_all_letters_wait() -> None:
    async with FaultRelay() as relay:
        url = relay.url
    async with bot_on(url) as bot:
        (outcome,) = await bot.say(ALICE, "Hi.")

    assert isinstance(outcome, TryLater)
    assert outcome.is_for_all


@pytest.mark.parametrize("via", ["nip04", "nip17"])
@pytest.mark.parametrize("uid", ["alice", "f" * 64, ""])
async def test_nothing_is_sent_to_what_is_no_key(uid: str, via: str, bot: Bot) -> None:
    outcome = await bot.channel.perform(
        Peer("nostr", BOT.pubkey, uid), Message("Hi.", NOW_S, via, None)
    )

    assert isinstance(outcome, Bad)


async def test_no_file_comes_in(bot: Bot) -> None:
    with pytest.raises(TryAgain):
        await bot.channel.fetch(File("a.txt", "text/plain", 3, "key"), 100)


async def test_everything_of_47_hours_away_is_taken_once_over_five_restarts(
    relay: FaultRelay,
) -> None:
    desk, clock = Desk(), ShiftedClock()
    async with bot_on(relay, desk=desk, clock=clock):
        await relay.push(gift_json("Before."))
        await desk.receive("Before.")
    texts = [f"Hour {hour}." for hour in range(47)]
    for hour, text in enumerate(texts):
        await relay.push(gift_json(text, at_s=NOW_S + hour * HOUR_S))
    clock.now_s += 47 * HOUR_S

    for _ in range(5):
        async with bot_on(relay, desk=desk, clock=clock):
            await desk.receive("Before.", *texts)

    assert len(desk.mail) == 48


async def test_mail_that_waited_comes_in_the_order_in_which_it_was_written(
    relay: FaultRelay,
) -> None:
    texts = [f"Minute {minute}." for minute in range(30)]
    for minute, text in enumerate(texts):  # a wrap's own date is drawn, and so is the order here
        await relay.push(gift_json(text, at_s=NOW_S - (30 - minute) * 60))

    async with bot_on(relay) as bot:
        await bot.desk.receive(*texts)

    assert [mail.at_ms for mail in bot.desk.mail.values()] == sorted(
        mail.at_ms for mail in bot.desk.mail.values()
    )


async def test_nostr_sdk_and_the_bot_talk_over_a_relay_of_nostr_sdk_that_demands_auth() -> None:
    strict = nostr_sdk.LocalRelayBuilderNip42(mode=nostr_sdk.LocalRelayBuilderNip42Mode.BOTH)
    relay = nostr_sdk.LocalRelayBuilder().addr("127.0.0.1").nip42(strict).auth_dm(True).build()
    nostr_sdk.nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())  # where it calls us back
    await relay.run()
    url, keys = str(await relay.url()), nostr_sdk.Keys.generate()
    alice = nostr_sdk.ClientBuilder().authenticator(nostr_sdk.SignerAuthenticator(keys)).build()
    clock = ShiftedClock()
    clock.now_s = nostr_sdk.Timestamp.now().as_secs()
    async with bot_on(url, clock=clock) as bot:
        await alice.add_relay(nostr_sdk.RelayUrl.parse(url))
        await alice.connect()
        hello = nostr_sdk.nip17_make_private_msg(
            keys, nostr_sdk.PublicKey.parse(BOT.pubkey), "Hello?"
        )
        await alice.send_event(hello)
        await bot.desk.receive("Hello?")
        me = next(iter(bot.desk.mail.values())).peer.uid

        (outcome,) = await bot.say(Signer(bytes.fromhex(keys.secret_key().to_hex())), "Hi.")

        assert me == keys.public_key().to_hex()
        assert isinstance(outcome, Sent)
        assert await texts_of(alice, keys) == ["Hi."]
    await alice.shutdown()
    relay.shutdown()


async def texts_of(client: nostr_sdk.Client, keys: nostr_sdk.Keys) -> list[str]:
    """What nostr-sdk reads of its mail."""
    mine = nostr_sdk.Filter().kind(nostr_sdk.Kind(nip59.WRAP)).pubkey(keys.public_key())
    gifts = await client.fetch_events(nostr_sdk.ReqTarget.auto([mine]))
    return [nostr_sdk.UnwrappedGift.from_gift_wrap(keys, gift).rumor().content() for gift in gifts]
