"""The bots beside the HTTP doors: readiness, names, numbers, and the door for Telegram."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from api.app import serve_api
from api.hooks import SECRET_HEADER, TelegramHook
from api.info import Bot
from bots.app import names_of, serve_bots, update_door
from bots.office import Office
from core.app import Core, open_core
from core.books import alarms, inbox, outbox, people, posts
from core.config import load
from core.values.mail import Letter, Note, Peer
from tests.api.conftest import eventually
from tests.simulator.bot_api import Fault, SimulatedBotApi
from tests.simulator.bot_api_people import TelegramPerson

NSEC_HEX = "ab" * 32
DEAD_RELAY = '["ws://127.0.0.1:9"]'
UPDATE = {
    "update_id": 7,
    "message": {
        "message_id": 3,
        "date": 1_800_000_000,
        "text": "/help",
        "chat": {"id": 2002, "type": "private", "first_name": "Anna"},
        "from": {"id": 2002, "is_bot": False, "first_name": "Anna", "language_code": "en"},
    },
}


@dataclass(frozen=True)
class Service:
    core: Core
    office: Office
    session: aiohttp.ClientSession
    url: str
    operator_url: str

    async def get(self, path: str) -> Any:
        async with self.session.get(self.url + path) as answer:
            return await answer.text()

    async def not_ready(self) -> list[str]:
        return json.loads(await self.get("/readyz"))["notReady"]

    async def hook(self, *, path: str = "", header: str = "", body: bytes | None = None) -> int:
        """What an update is answered; with the right secrets where no others are given."""
        secrets = self.core.telegram_secrets
        async with self.session.post(
            f"{self.url}/hooks/telegram/{path or secrets.path}",
            data=json.dumps(UPDATE).encode() if body is None else body,
            headers={"Content-Type": "application/json", SECRET_HEADER: header or secrets.header},
        ) as answer:
            return answer.status


OpenService = Callable[..., Any]


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedBotApi]:
    async with SimulatedBotApi() as simulated:
        yield simulated


@pytest.fixture
def open_service(tmp_path) -> OpenService:
    @asynccontextmanager
    async def opened(*, taken: str = "", **settings: str) -> AsyncIterator[Service]:
        """With these settings; the post `taken` is another process's."""
        environ = {
            "SERVER__DATA_DIR": str(tmp_path),
            "SERVER__LISTEN": "127.0.0.1:0",
            "OPERATOR__LISTEN": "127.0.0.1:0",
            **settings,
        }
        config = load(None, {f"BOLTWORK_{name}": text for name, text in environ.items()})
        async with AsyncExitStack() as stack:
            core = await stack.enter_async_context(open_core(config))
            if taken:
                later_ms = core.desk.clock.now_ms() + 3_600_000
                await core.store.write(posts.take, taken, "other", now_ms=0, until_ms=later_ms)
            office = await stack.enter_async_context(serve_bots(core, config))
            hook = None
            if config.telegram.mode == "webhook":
                secrets = core.telegram_secrets
                hook = TelegramHook(secrets.path, secrets.header, update_door(office))

            def bots() -> list[Bot]:
                return [Bot(network=network, name=name) for network, name in names_of(office)]

            doors = await stack.enter_async_context(
                serve_api(core, config, bots=bots, telegram=hook)
            )
            session = await stack.enter_async_context(aiohttp.ClientSession())
            url, operator_url = (
                f"http://127.0.0.1:{port}" for port in (doors.port, doors.operator_port)
            )
            yield Service(core, office, session, url, operator_url)

    return opened


def telegram(sim: SimulatedBotApi, **more: str) -> dict[str, str]:
    return {"TELEGRAM__TOKEN": sim.token, "TELEGRAM__API_BASE": sim.url, **more}


WEBHOOK = {"TELEGRAM__MODE": "webhook", "SERVER__PUBLIC_URL": "https://shop.example.org"}


async def test_without_bots_nothing_is_said_of_them(open_service):
    async with open_service() as service:
        assert not {"telegram", "nostr"} & set(await service.not_ready())
        assert json.loads(await service.get("/info"))["bots"] == []
        assert "In a chat" not in await service.get("/")


async def test_a_bot_that_is_served_is_ready_and_its_name_is_shown(open_service, sim):
    async with open_service(**telegram(sim)) as service:

        async def is_ready() -> bool:
            return "telegram" not in await service.not_ready()

        await eventually(is_ready)

        (bot,) = json.loads(await service.get("/info"))["bots"]
        assert bot["network"] == "telegram"
        assert bot["name"].startswith("@")
        assert bot["name"] in await service.get("/")


async def test_a_bot_whose_token_is_refused_is_not_ready(open_service, sim):
    settings = telegram(sim) | {"TELEGRAM__TOKEN": "7000000009:" + "x" * 35}
    async with open_service(**settings) as service:
        assert "telegram" in await service.not_ready()
        assert json.loads(await service.get("/info"))["bots"] == []


async def test_a_bot_that_another_process_serves_is_ready_here_and_known(open_service, sim):
    async with open_service(taken="telegram", **telegram(sim)) as service:

        async def is_ready() -> bool:
            return "telegram" not in await service.not_ready()

        async def is_known() -> bool:
            return json.loads(await service.get("/info"))["bots"] != []

        await eventually(is_ready)
        await eventually(is_known)
        assert not service.office.is_serving(service.office.channels[0])


async def test_a_nostr_bot_without_a_relay_is_not_ready_and_still_has_a_name(open_service):
    settings = {"NOSTR__SECRET_KEY": NSEC_HEX, "NOSTR__RELAYS": DEAD_RELAY}
    async with open_service(**settings) as service:

        async def is_open() -> bool:
            return service.office.is_serving(service.office.channels[0])

        await eventually(is_open)

        assert "nostr" in await service.not_ready()
        (bot,) = json.loads(await service.get("/info"))["bots"]
        assert bot["name"].startswith("npub1")


async def test_the_numbers_tell_what_waits_to_be_said(open_service):
    async with open_service() as service:
        letter = Letter(peer=Peer("nostr", "me", "you"), content=Note("Hello."))
        now_ms = service.core.desk.clock.now_ms()
        await service.core.store.write(outbox.post, letter, now_ms - 90_000)

        async with service.session.get(f"{service.operator_url}/metrics") as answer:
            numbers = await answer.text()

        assert 'boltwork_outbox_messages{channel="nostr"} 1.0' in numbers
        assert 'boltwork_outbox_oldest_seconds{channel="nostr"} 9' in numbers


async def test_what_telegram_brings_is_stored_when_it_is_answered(open_service, sim):
    async with open_service(**telegram(sim, **WEBHOOK)) as service:
        assert await service.hook() == 200

        peer = Peer("telegram", sim.token.partition(":")[0], "2002")
        contact = await service.core.store.read(people.contact, peer)
        assert contact is not None
        count = await service.core.store.read(inbox.recent_count, contact.session_id, since_ms=0)
        assert count == 1


async def test_what_telegram_brings_twice_is_stored_once(open_service, sim):
    async with open_service(**telegram(sim, **WEBHOOK)) as service:
        assert [await service.hook(), await service.hook()] == [200, 200]

        peer = Peer("telegram", sim.token.partition(":")[0], "2002")
        contact = await service.core.store.read(people.contact, peer)
        count = await service.core.store.read(inbox.recent_count, contact.session_id, since_ms=0)
        assert count == 1


@pytest.mark.parametrize(
    ("secrets", "status"),
    [
        ({"path": "0" * 32}, 404),
        ({"header": "0" * 64}, 401),
        ({"path": "0" * 32, "header": "0" * 64}, 404),
        ({"body": b"[]"}, 400),
        ({"body": b"nothing"}, 400),
        ({"body": b"[" * 60_000}, 400),
        ({"body": b'{"update_id": 1}' + b" " * 65_536}, 413),
    ],
)
async def test_nobody_else_gets_in(open_service, sim, secrets, status):
    async with open_service(**telegram(sim, **WEBHOOK)) as service:
        assert await service.hook(**secrets) == status
        assert await service.core.store.read(people.named, "2002") == []


@pytest.mark.parametrize("body", [b"{}", b'{"update_id": 1, "message": {"text": "\\ud800"}}'])
async def test_an_odd_update_is_answered_so_that_it_does_not_come_for_ever(open_service, sim, body):
    async with open_service(**telegram(sim, **WEBHOOK)) as service:
        assert await service.hook(body=body) == 200


async def test_an_update_comes_again_while_telegram_does_not_say_who_we_are(open_service, sim):
    settings = telegram(sim, **WEBHOOK) | {"TELEGRAM__API_BASE": "http://127.0.0.1:9"}
    async with open_service(**settings) as service:
        assert await service.hook() >= 500


async def test_while_telegram_is_polled_there_is_no_such_door(open_service, sim):
    async with open_service(**telegram(sim)) as service:
        assert await service.hook() == 404


async def test_messages_of_many_people_do_not_use_up_telegrams_turns(open_service, sim):
    settings = telegram(sim, **WEBHOOK, LIMITS__REQUESTS_PER_MINUTE="2")
    async with open_service(**settings) as service:
        assert [await service.hook() for _ in range(5)] == [200] * 5


async def has_seen(sim: SimulatedBotApi, person: TelegramPerson, text: str) -> None:
    """Wait until somebody is shown this."""
    await sim.until(lambda: [event for event in person.sees() if text in event.text])


@pytest.mark.parametrize(
    ("method", "refusal", "told"),
    [
        (
            "sendMessage",
            "Bad Request: message is too long",
            "⚠ A message could not be delivered on Telegram",
        ),
        (
            "sendPhoto",
            "Bad Request: inline keyboard button URL 'x' is invalid: Unsupported URL protocol",
            "⚠ Telegram refuses links to the pay page",
        ),
    ],
)
async def test_the_operator_is_told_what_telegram_refuses_to_bring(
    open_service, sim, method, refusal, told
):
    olga, anna = sim.person("olga"), sim.person("anna")
    admin = {"TELEGRAM__ADMIN_IDS": f"[{olga.chat_id}]"}
    sim.fail(method, Fault.of_code(400, refusal), chat_id=anna.chat_id)
    async with open_service(
        **telegram(sim, SERVER__PUBLIC_URL="https://shop.example.org", **admin)
    ):
        olga.write("/start")
        await has_seen(sim, olga, "Hi")

        anna.write("/help" if method == "sendMessage" else "Sort these names: Zoe, Adam")

        await has_seen(sim, olga, told)
        assert "Zoe" not in "".join(event.text for event in olga.sees())


@pytest.mark.parametrize(("code", "kind"), [(409, "rival.telegram"), (401, "token.telegram")])
async def test_the_operator_is_told_of_a_telegram_that_refuses_us(open_service, sim, code, kind):
    admin = {"TELEGRAM__ADMIN_IDS": "[1001]"}
    sim.fail("getUpdates", Fault.of_code(code), times=None)
    async with open_service(**telegram(sim, **admin)) as service:

        async def is_told() -> bool:
            return (await service.core.store.read(alarms.state, kind)).told_ms > 0

        await eventually(is_told)

        (backlog,) = await service.core.store.read(outbox.backlogs)
        assert (backlog.channel, backlog.letters) == ("telegram", 1)
        assert "telegram" in await service.not_ready()
