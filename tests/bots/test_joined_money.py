"""Money that comes in by one door is spent and taken out by the others, and the books add up."""

from collections.abc import AsyncIterator
from functools import partial

import openai
import pytest

from bots import catalogue
from bots.app import shop_of
from bots.office import conversation_of
from bots.operator import Operator
from bots.stage import Stage
from core.app_operator import admin_desk
from core.books import ledger, people
from core.books.audit import audit
from core.config import load
from core.values import bolt11
from core.values.clock import SystemClock
from core.values.mail import Bill, Peer
from tests.api.conftest import OpenShop, Shop, eventually, open_shop
from tests.bots.chat_bench import ANNA, REALM, Chat
from tests.conftest import Database
from tests.world import World

__all__ = ["open_shop"]

ANNA_ON_NOSTR = Peer("nostr", REALM, "cd" * 32)
QUESTION = [{"role": "user", "content": "Sort: b, a"}]


@pytest.fixture
async def shop(open_shop: OpenShop, database: Database) -> Shop:
    return await open_shop(DATABASE__URL=database.url)


@pytest.fixture
async def chat(shop: Shop) -> AsyncIterator[Chat]:
    """The conversation on a shop that is open over HTTP, too."""
    desk = shop.core.desk
    stage = Stage(desk.jobs, desk.clock)
    admin = admin_desk(shop.core)
    operator = Operator(
        desk=admin, people=desk.people, peers=frozenset(), id_of=str, last_errors=list
    )
    conversation = conversation_of(
        desk,
        shop_of(load(None, {})),
        catalogue.load(("en",)),
        stage=stage,
        operator=operator,
        fetch=no_file,
        private_url=str,
    )
    yield Chat(World(shop.core, None, None, SystemClock()), conversation, None, [])
    await stage.aclose()


async def no_file(_peer, _file, _bytes_max):
    raise AssertionError("no file comes in here")


async def hears(chat, peer, part):
    """Wait until somebody is told this."""
    told = []

    async def is_told():
        await chat.read_all()
        told.extend(letter for letter in await chat.letters() if letter.peer == peer)
        return any(part in letter.content.text for letter in told if has_text(letter))

    await eventually(is_told, within_s=10)


def has_text(letter):
    return hasattr(letter.content, "text")


async def balance(chat, peer):
    contact = await chat.world.store.read(people.contact, peer)
    return (await chat.world.store.read(ledger.account, contact.session_id)).balance


async def fills(chat, shop, peer, sats):
    letter = await chat.asked(peer, f"/topup {sats}")
    assert isinstance(letter.content, Bill)
    payment_hash = bolt11.decode(letter.content.bolt11).payment_hash
    await shop.post(f"/dev/stub/pay/{payment_hash}")
    await hears(chat, peer, f"Paid {sats}")


async def links(chat, maker, taker):
    (shown,) = await chat.says(maker, "/link")
    await chat.says(taker, shown.rpartition(": ")[2])
    await chat.says(taker, "yes")
    await hears(chat, maker, "wants to join")
    await chat.says(maker, "yes")


async def withdraws(chat, shop, peer, sats):
    made = await shop.post("/dev/stub/invoice", json={"amountSats": sats})
    await chat.says(peer, f"/withdraw {made.json['paymentRequest']}")
    await chat.hears(peer, "yes")
    await hears(chat, peer, f"Sent {sats}")


async def test_a_deposit_by_telegram_is_spent_by_an_openai_client_and_over_nostr(chat, shop):
    await fills(chat, shop, ANNA, 900)
    (shown,) = await chat.says(ANNA, "/token")
    client = openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{shop.port}/v1", api_key=max(shown.split(), key=len)
    )
    await chat.says(ANNA_ON_NOSTR, "/start")

    async with client:
        done = await client.chat.completions.create(model="offline", messages=QUESTION)
        spent = done.usage.model_extra["cost_msat"]
        await links(chat, ANNA, ANNA_ON_NOSTR)
        joint = await balance(chat, ANNA_ON_NOSTR)
        await chat.hears(ANNA_ON_NOSTR, "Sort these names: Zoe, Adam")
        await hears(chat, ANNA_ON_NOSTR, "Price:")
        again = await client.chat.completions.create(model="offline", messages=QUESTION)

    assert joint == 900_000 - spent
    assert again.usage.model_extra["balance_msat"] == joint - 21_000 - spent
    assert await balance(chat, ANNA) == joint - 21_000 - spent
    await withdraws(chat, shop, ANNA_ON_NOSTR, 100)
    await withdraws(chat, shop, ANNA, 200)
    assert await balance(chat, ANNA) < joint - 300_000
    await eventually(partial(is_balanced, shop))


async def is_balanced(shop):
    return await shop.core.store.read(audit) == []
