"""The checkup asks Telegram and the relays, says what to do, and changes nothing there."""

from collections.abc import AsyncIterator

import pytest

from bots.checkup import looks
from core.checkup import Finding, look_at_everything
from core.config import load
from core.values.clock import SystemClock
from tests.bots.nostr_people import person
from tests.bots.nostr_world import bot_on
from tests.simulator.bot_api import SimulatedBotApi
from tests.simulator.relay import FaultRelay

NOWHERE = "ws://127.0.0.1:9"


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedBotApi]:
    async with SimulatedBotApi() as simulated:
        yield simulated


@pytest.fixture
def check(tmp_path):
    async def checked(about: str, **settings: str) -> Finding:
        environ = {f"BOLTWORK_{name}": text for name, text in settings.items()}
        config = load(None, {"BOLTWORK_SERVER__DATA_DIR": str(tmp_path), **environ})
        found = await look_at_everything(config, clock=SystemClock(), more=looks(config))
        return next(finding for finding in found if finding.about == about)

    return checked


def telegram(sim: SimulatedBotApi, **more: str) -> dict[str, str]:
    return {"TELEGRAM__TOKEN": sim.token, "TELEGRAM__API_BASE": sim.url, **more}


def nostr(*urls: str) -> dict[str, str]:
    relays = ", ".join(f'"{url}"' for url in urls)
    return {"NOSTR__SECRET_KEY": person("bot").secret.hex(), "NOSTR__RELAYS": f"[{relays}]"}


async def test_bots_that_are_off_are_not_looked_at(tmp_path):
    config = load(None, {"BOLTWORK_SERVER__DATA_DIR": str(tmp_path)})

    assert looks(config) == {}


async def test_a_bot_that_telegram_knows_is_good_and_stays_as_it_was(check, sim):
    found = await check("telegram", **telegram(sim))

    assert (found.state, found.sentence[0]) == ("good", "@")
    assert {call.method for call in sim.calls} == {"getMe", "getWebhookInfo"}


async def test_a_token_that_telegram_does_not_know_is_a_fault(check, sim):
    wrong = "7000000009:" + "x" * 35

    found = await check("telegram", **telegram(sim) | {"TELEGRAM__TOKEN": wrong})

    assert found.state == "fault"
    assert found.sentence.endswith("check telegram.token")
    assert wrong not in found.sentence


async def test_a_telegram_that_does_not_answer_is_a_fault(check, sim):
    settings = telegram(sim) | {"TELEGRAM__API_BASE": "http://127.0.0.1:9"}

    found = await check("telegram", **settings)

    assert (found.state, "telegram.api_base" in found.sentence) == ("fault", True)


async def test_a_webhook_where_we_poll_is_a_warning(check, sim):
    sim.chats.webhook = {"url": "https://other.example/hook", "secret_token": ""}

    found = await check("telegram", **telegram(sim))

    assert (found.state, "other.example" in found.sentence) == ("warning", True)


async def test_a_webhook_that_is_ours_is_good(check, sim):
    sim.chats.webhook = {"url": "https://shop.example/hooks/telegram/x", "secret_token": ""}
    settings = {"TELEGRAM__MODE": "webhook", "SERVER__PUBLIC_URL": "https://shop.example"}

    found = await check("telegram", **telegram(sim, **settings))

    assert (found.state, "brings updates to shop.example" in found.sentence) == ("good", True)


async def test_a_webhook_that_is_not_told_yet_is_good_and_said(check, sim):
    settings = {"TELEGRAM__MODE": "webhook", "SERVER__PUBLIC_URL": "https://shop.example"}

    found = await check("telegram", **telegram(sim, **settings))

    assert (found.state, "the next start tells" in found.sentence) == ("good", True)


async def test_relays_that_answer_are_good(check):
    async with FaultRelay() as relay:
        found = await check("nostr", **nostr(relay.url))

    assert (found.state, found.sentence[:5]) == ("good", "npub1")
    assert "published at the next start" in found.sentence
    assert relay.of(kind=0) == []


async def test_a_profile_that_stands_there_is_seen(check):
    async with FaultRelay() as relay:
        async with bot_on(relay):
            await relay.until(lambda: relay.of(kind=0) and relay.of(kind=10050))
        found = await check("nostr", **nostr(relay.url))

    assert found.sentence.endswith("all 1 relays answer")


async def test_a_relay_that_is_away_is_a_warning_and_all_are_a_fault(check):
    async with FaultRelay() as relay:
        some = await check("nostr", **nostr(relay.url, NOWHERE))
    none = await check("nostr", **nostr(NOWHERE))

    assert (some.state, none.state) == ("warning", "fault")
    assert NOWHERE in some.sentence


async def test_the_clock_is_compared_with_telegrams_and_the_relays(check, sim):
    async with FaultRelay() as relay:
        of_relay = await check("clock", **nostr(relay.url))

    assert "agrees with" in (await check("clock", **telegram(sim))).sentence
    assert "agrees with" in of_relay.sentence
