"""Relays as they are: they hang, refuse, forget, talk nonsense and come back."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import orjson
import pytest
from aiohttp import web

from bots import nip59
from bots.channel import Bad, Sent, TryLater
from bots.nip01 import read_event
from bots.nostr_line import Taken, Unheard
from bots.nostr_places import MAIL_RELAYS, clean_url
from bots.nostr_relay import Patience, Visitor
from core.net import is_public
from tests.bots.nostr_people import NOW_S, dumps, gift, person, rumor
from tests.bots.nostr_world import BOT, HASTE, Bot, Desk, ShiftedClock, bot_on
from tests.simulator.receiver import Canary
from tests.simulator.relay import FaultRelay, Json
from tests.wallets.lnurl_world import ScriptedNames

ALICE = person("alice")
PREFIXES = ("blocked", "invalid", "pow", "error", "rate-limited", "restricted", "mute")


@pytest.fixture
async def relay() -> AsyncIterator[FaultRelay]:
    async with FaultRelay() as relay:
        yield relay


def gift_json(text: str) -> Json:
    return orjson.loads(dumps(gift(rumor(ALICE, BOT, text), ALICE, BOT)))


def answers(*relays: FaultRelay) -> set[str]:
    """The texts that Alice reads on these relays."""
    gifts = [relay.of(kind=nip59.WRAP, receiver=ALICE.pubkey) for relay in relays]
    events = map(read_event, itertools.chain(*gifts))
    return {nip59.unwrap(event, ALICE).content for event in events}


async def reset(relay: FaultRelay) -> None:
    await relay.drop()


async def go_away_and_come_back(relay: FaultRelay) -> None:
    await relay.stop()
    await relay.start()


async def close_cleanly(relay: FaultRelay) -> None:
    await relay.close_cleanly()


async def close_the_subscriptions(relay: FaultRelay) -> None:
    await relay.close_subscriptions("error: shutting down")


async def want_to_know_us(relay: FaultRelay) -> None:
    relay.needs_auth_to_read = True
    await relay.drop()


async def fall_silent(relay: FaultRelay) -> None:
    relay.answers_pings = False
    await relay.until(lambda: relay.listeners == 0)
    relay.answers_pings = True


@pytest.mark.parametrize(
    "happens",
    [
        reset,
        go_away_and_come_back,
        close_cleanly,
        close_the_subscriptions,
        want_to_know_us,
        fall_silent,
    ],
)
async def test_after_whatever_a_relay_does_mail_is_heard_again_and_nothing_twice(
    happens: Callable[[FaultRelay], Awaitable[None]], relay: FaultRelay
) -> None:
    async with bot_on(relay) as bot:
        await relay.push(gift_json("Before."))
        await bot.desk.receive("Before.")

        await happens(relay)
        relay.events.append(gift_json("Meanwhile."))
        await relay.drop()

        await bot.desk.receive("Before.", "Meanwhile.")
        await relay.until(lambda: relay.listeners == 2)
        await relay.push(gift_json("After."))
        await bot.desk.receive("Before.", "Meanwhile.", "After.")


async def test_a_relay_that_asks_late_who_we_are_is_told(relay: FaultRelay) -> None:
    relay.needs_auth_to_read, relay.challenges_late_s = True, 0.15
    await relay.push(gift_json("Hello?"))

    async with bot_on(relay) as bot:
        await bot.desk.receive("Hello?")


async def test_nonsense_is_passed_over(relay: FaultRelay) -> None:
    relay.greetings = [
        "",
        "nonsense",
        "{}",
        "[]",
        "[[[",
        "[" * 100_000,
        '["EVENT"]',
        '["EVENT","mail1059",null]',
        '["EVENT","mail1059",{}]',
        '["EVENT",7,{"id":1}]',
        '["OK"]',
        '["OK","unknown",true]',
        '["OK","unknown","yes",7]',
        '["CLOSED","unknown"]',
        '["EOSE"]',
        '["AUTH"]',
        '["AUTH",null]',
        '["NOTICE",null]',
        '["COUNT","x",{"count":1}]',
        '["NOTICE","' + "x" * 3_000_000 + '"]',
    ]
    await relay.push(gift_json("Hello?"))

    async with bot_on(relay) as bot:
        await bot.desk.receive("Hello?")
        assert relay.visits == 1


async def test_stored_mail_comes_without_an_end_of_it_doubled_and_in_any_order(
    relay: FaultRelay,
) -> None:
    relay.sends_eose, relay.copies, relay.shuffles = False, 3, True
    for text in ("One.", "Two.", "Three."):
        await relay.push(gift_json(text))

    async with bot_on(relay) as bot:
        await bot.desk.receive("One.", "Two.", "Three.")
        await relay.until(lambda: relay.listeners == 2)


async def test_mail_is_asked_for_until_the_relay_has_no_older(relay: FaultRelay) -> None:
    relay.most = 4
    texts = [f"Message {number}." for number in range(25)]
    for text in texts:
        await relay.push(gift_json(text))

    async with bot_on(relay) as bot:
        await bot.desk.receive(*texts)


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_what_one_relay_refuses_another_takes(prefix: str, relay: FaultRelay) -> None:
    async with FaultRelay() as other, bot_on(relay, other) as bot:
        relay.verdict = refusal_of(prefix)
        for each in (relay, other):
            await each.push(gift_json("Hello?"))
        await bot.desk.receive("Hello?")
        await other.push(gift_json("Still here?"))
        await bot.desk.receive("Hello?", "Still here?")

        (outcome,) = await bot.say(ALICE, "Hi.")

        assert isinstance(outcome, Sent)
        assert answers(other) == {"Hi."}


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        ((False, "blocked: event size exceeds"), Bad),
        ((False, "invalid: no"), Bad),
        ((False, "rate-limited: slow down"), TryLater),
        ((False, "error: disk"), TryLater),
        ((False, "duplicate: have it"), Sent),
        (None, TryLater),
    ],
)
async def test_an_answer_of_the_only_relay_decides(
    verdict: tuple[bool, str] | None, outcome: type, relay: FaultRelay
) -> None:
    async with bot_on(relay) as bot:
        await relay.push(gift_json("Hello?"))
        await bot.desk.receive("Hello?")
        relay.verdict = lambda _event: verdict

        (found,) = await bot.say(ALICE, "Hi.")

        assert isinstance(found, outcome)
        assert not getattr(found, "is_for_all", False)


async def test_each_message_is_answered_once_while_three_relays_flap() -> None:
    await answered_while_relays_flap(60)


async def answered_while_relays_flap(count: int) -> None:
    async with FaultRelay() as one, FaultRelay() as two, FaultRelay() as three:
        relays, desk = (one, two, three), Desk()
        async with bot_on(*relays, desk=desk) as bot:
            flapping = asyncio.create_task(flap(*relays))
            texts = [f"Message {number}." for number in range(count)]
            for number, text in enumerate(texts):
                event = gift_json(text)
                for relay in (relays[number % 3], relays[(number + 1) % 3]):
                    await relay.push(event)
            await desk.receive(*texts)
            for mail in list(desk.mail.values()):
                await persist(bot, f"To {mail.ext_id}")
            flapping.cancel()

            gifts = {
                event["id"]: event
                for relay in relays
                for event in relay.of(kind=nip59.WRAP, receiver=ALICE.pubkey)
            }
            assert len(gifts) == count
            assert answers(*relays) == {f"To {ext_id}" for ext_id in desk.mail}


async def persist(bot: Bot, text: str) -> None:
    """Say it as delivery does: again until a relay has it; it is the same event each time."""
    async with asyncio.timeout(20):
        outcomes = await bot.say(ALICE, text)
        while not isinstance(outcomes[0], Sent):
            outcomes = await bot.say(ALICE, text)


async def flap(*relays: FaultRelay) -> None:
    """One trouble after another, of which two relays are never free at once."""
    refusals = itertools.cycle(PREFIXES)
    for relay in itertools.cycle(relays):
        await reset(relay)
        await asyncio.sleep(0.03)
        relay.verdict = refusal_of(next(refusals))
        await relay.close_subscriptions("error: no more")
        await asyncio.sleep(0.03)
        await relay.close_cleanly()
        await relay.say("garbage")
        relay.verdict = lambda _event: (True, "")


def refusal_of(prefix: str) -> Callable[[Json], tuple[bool, str] | None]:
    return lambda _event: None if prefix == "mute" else (False, f"{prefix}: no")


def visitor(names: ScriptedNames, *, guarded: bool = True) -> Visitor:
    return Visitor(
        names=names,
        signer=BOT,
        clock=ShiftedClock(),
        patience=HASTE,
        may_call=is_public if guarded else lambda _address: True,
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1"])
async def test_no_stranger_makes_us_call_inside_our_own_network(address: str) -> None:
    async with Canary() as canary:
        names = ScriptedNames([[address]])
        event = BOT.sign(BOT.draft(1, "Hi.", created_at=NOW_S))

        verdict = await visitor(names).publish(f"ws://relay.example:{canary.port}", event)

        assert verdict == Unheard("its host is none to call")
        assert canary.knocks == 0


async def test_a_bot_on_public_relays_calls_nobody_inside_for_a_stranger(
    relay: FaultRelay,
) -> None:
    names = ScriptedNames([["8.8.8.8"], ["127.0.0.1"]])  # our own relay first
    async with Canary() as canary, bot_on(relay, names=names) as bot:
        tags = [["relay", f"ws://relay.example:{canary.port}"]]
        listed = ALICE.sign(ALICE.draft(MAIL_RELAYS, "", created_at=NOW_S, tags=tags))
        await relay.push(orjson.loads(dumps(listed)))

        await bot.say(ALICE, "Hi.")

        assert [host for host, _ in names.asked] == ["127.0.0.1", "relay.example"]
        assert canary.knocks == 0
        assert answers(relay) == {"Hi."}


async def test_a_name_is_called_at_the_addresses_that_were_checked(relay: FaultRelay) -> None:
    names = ScriptedNames([["127.0.0.1"]])
    event = BOT.sign(BOT.draft(1, "Hi.", created_at=NOW_S))
    url = relay.url.replace("127.0.0.1", "relay.example")

    verdict = await visitor(names, guarded=False).publish(url, event)

    assert verdict == Taken()
    assert len(names.asked) == 1


async def test_a_redirection_leads_to_no_other_address() -> None:
    async def redirect(_request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"http://127.0.0.1:{canary.port}/")

    app = web.Application()
    app.router.add_get("/", redirect)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.2", 0).start()
    async with Canary() as canary:
        names = ScriptedNames([["127.0.0.2"]])
        event = BOT.sign(BOT.draft(1, "Hi.", created_at=NOW_S))
        url = f"ws://relay.example:{runner.addresses[0][1]}"

        verdict = await visitor(names, guarded=False).publish(url, event)

        assert isinstance(verdict, Unheard)
        assert canary.knocks == 0
    await runner.cleanup()


async def test_a_list_of_many_relays_costs_three_visits(relay: FaultRelay) -> None:
    async with bot_on(relay) as bot:
        others = [FaultRelay() for _ in range(5)]
        for other in others:
            await other.start()
            other.verdict = refusal_of("blocked")
        tags = [["relay", other.url] for other in others]
        listed = ALICE.sign(ALICE.draft(MAIL_RELAYS, "", created_at=NOW_S, tags=tags))
        await relay.push(orjson.loads(dumps(listed)))

        await bot.say(ALICE, "Hi.")

        assert [other.visits for other in others] == [1, 1, 1, 0, 0]
        for other in others:
            await other.stop()


async def test_a_relay_that_was_away_a_moment_ago_keeps_nobody_waiting(relay: FaultRelay) -> None:
    async with FaultRelay() as mute, bot_on(relay) as bot:
        mute.verdict = lambda _event: None
        tags = [["relay", mute.url]]
        listed = ALICE.sign(ALICE.draft(MAIL_RELAYS, "", created_at=NOW_S, tags=tags))
        await relay.push(orjson.loads(dumps(listed)))

        await bot.say(ALICE, "Hi.")
        await bot.say(ALICE, "Hi again.")

        assert mute.visits == 1
        assert answers(relay) == {"Hi.", "Hi again."}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("wss://Relay.Example/", "wss://relay.example"),
        (" wss://relay.example:443/inbox ", "wss://relay.example/inbox"),
        ("ws://127.0.0.1:7777", "ws://127.0.0.1:7777"),
        ("https://relay.example", ""),
        ("wss://me:secret@relay.example", ""),
        ("wss://", ""),
        ("wss://relay.example:port", ""),
        ("relay.example", ""),
        ("wss://" + "x" * 300, ""),
        ("", ""),
    ],
)
def test_an_address_of_a_relay_has_one_form(text: str, url: str) -> None:
    assert clean_url(text) == url


def test_a_relay_is_pinged_every_25_s_and_tried_again_after_five_minutes_at_most() -> None:
    assert replace(Patience(), ping_s=25.0, retry_most_s=300.0) == Patience()
