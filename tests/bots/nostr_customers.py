"""One whole job with the finished program, bought by somebody on Nostr with a client of others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import nostr_sdk
import orjson

from bots import nip59
from core.values.bolt11 import decode
from tests.bots.nostr_people import person
from tests.process.server import Program, eventually
from tests.simulator.relay import FaultRelay

BOT = person("bot")
REQUEST = "Sort these names: Zoe, Adam, Mia."


class Customer(Protocol):
    """Somebody on Nostr."""

    async def say(self, text: str) -> None:
        """Write to the bot."""
        ...

    async def heard(self) -> list[str]:
        """All that the bot has written, in any order."""
        ...


@asynccontextmanager
async def shop_on(folder: Path, *relays: FaultRelay) -> AsyncIterator[Program]:
    """The finished program, once it listens on these relays."""
    program = Program(
        folder,
        BOLTWORK_NOSTR__SECRET_KEY=BOT.secret.hex(),
        BOLTWORK_NOSTR__RELAYS=orjson.dumps([relay.url for relay in relays]).decode(),
    )
    async with program:
        for relay in relays:
            await relay.until(lambda relay=relay: relay.listeners >= 2)
        yield program


async def buy(program: Program, customer: Customer) -> list[str]:
    """Order, pay both invoices, and return what the bot wrote; it is killed before it is paid."""
    await customer.say(REQUEST)
    check = await next_invoice(customer, "")
    await program.restart()
    await pay(program, check)
    await pay(program, await next_invoice(customer, check))
    heard: list[str] = []

    async def is_done() -> bool:
        heard[:] = await customer.heard()
        return any("done" in text for text in heard)

    await eventually(is_done)
    return heard


async def pay(program: Program, invoice: str) -> None:
    await program.post(f"/dev/stub/pay/{decode(invoice).payment_hash}", {})


async def next_invoice(customer: Customer, known: str) -> str:
    found: list[str] = []

    async def has_come() -> bool:
        texts = await customer.heard()
        found[:] = [text for text in texts if text.startswith("lnbc") and text != known]
        return bool(found)

    await eventually(has_come)
    return found[0]


class SdkCustomer:
    """With nostr-sdk."""

    def __init__(self, *relays: FaultRelay) -> None:
        self._keys = nostr_sdk.Keys.generate()
        signer = nostr_sdk.SignerAuthenticator(self._keys)
        self._client = nostr_sdk.ClientBuilder().authenticator(signer).build()
        self._relays = relays

    async def connect(self) -> None:
        nostr_sdk.nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())
        for relay in self._relays:
            await self._client.add_relay(nostr_sdk.RelayUrl.parse(relay.url))
        await self._client.connect()

    async def say(self, text: str) -> None:
        receiver = nostr_sdk.PublicKey.parse(BOT.pubkey)
        await self._client.send_event(nostr_sdk.nip17_make_private_msg(self._keys, receiver, text))

    async def heard(self) -> list[str]:
        mine = nostr_sdk.Filter().kind(nostr_sdk.Kind(nip59.WRAP)).pubkey(self._keys.public_key())
        gifts = await self._client.fetch_events(nostr_sdk.ReqTarget.auto([mine]))
        opened = [nostr_sdk.UnwrappedGift.from_gift_wrap(self._keys, gift) for gift in gifts]
        return [each.rumor().content() for each in opened]

    async def close(self) -> None:
        await self._client.shutdown()
