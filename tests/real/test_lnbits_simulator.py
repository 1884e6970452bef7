"""The simulated LNbits answers as the real one does: one story, told to both, compared."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from core.values.bolt11 import encode_and_sign
from core.values.money import from_sats
from tests.real.lnbits_server import RealLnbits
from tests.simulator.lnbits import SimulatedLnbits

PATIENCE_S = 20.0
UNKNOWN_HASH = "00" * 32
UNKNOWN_KEY = "0" * 32
# Of these the value is compared, of all others the type.
TELLING = {"paid", "status", "detail", "labels", "amount", "fee", "fee_reserve", "memo", "extra"}


class Keys(Protocol):
    @property
    def invoice_key(self) -> str: ...
    @property
    def admin_key(self) -> str: ...


@dataclass
class Teller:
    """Tells the story to one LNbits and notes what it answers."""

    session: aiohttp.ClientSession
    url: str
    shop: Keys
    buyer: Keys
    answers: list[tuple[str, int, Any]] = field(default_factory=list)

    async def get(self, title: str, path: str, key: str | None, **query: str) -> Any:
        return await self._note(title, "GET", path, key, params=query)

    async def post(self, title: str, key: str | None, **order: Any) -> Any:
        return await self._note(title, "POST", "/payments", key, json=order)

    async def order(self, wallet: Keys, **more: Any) -> Any:
        return await self.post(
            "order", wallet.invoice_key, **{"out": False, "amount": 21, "memo": "x", **more}
        )

    async def pay(self, title: str, key: str, made: Any) -> Any:
        return await self.post(title, key, out=True, bolt11=made["bolt11"])

    async def look(self, title: str, payment_hash: str) -> None:
        """The status, as everybody sees it."""
        viewers = {
            "its wallet": self.shop.invoice_key,
            "another wallet": self.buyer.invoice_key,
            "an unknown key": UNKNOWN_KEY,
            "nobody": None,
        }
        for viewer, key in viewers.items():
            await self.get(f"{title}, to {viewer}", f"/payments/{payment_hash}", key)

    async def _note(
        self, title: str, method: str, path: str, key: str | None, **request: Any
    ) -> Any:
        headers = {"X-Api-Key": key} if key else {}
        address = f"{self.url}/api/v1{path}"
        async with self.session.request(method, address, headers=headers, **request) as response:
            body = await response.json()
            self.answers.append((title, response.status, shape(body)))
            return body


def shape(value: Any) -> Any:
    match value:
        case dict():
            return {k: v if k in TELLING else shape(v) for k, v in value.items()}
        case list():
            return [shape(each) for each in value]
        case _:
            return type(value).__name__


async def tell(teller: Teller) -> None:
    shop, buyer = teller.shop.invoice_key, teller.buyer.admin_key

    await teller.get("an empty wallet", "/wallet", shop)
    made = await teller.order(teller.shop, expiry=600, extra={"kind": "eval", "job": "job_1"})
    await teller.look("unpaid", made["payment_hash"])
    await teller.get("an unknown hash", f"/payments/{UNKNOWN_HASH}", shop)
    await teller.get("what is open", "/payments", shop, status="pending")
    await teller.get("a list for an unknown key", "/payments", UNKNOWN_KEY)
    await teller.get("a list for nobody", "/payments", None)
    await teller.get("a list in no order", "/payments", shop, sortby="nonsense")

    await teller.pay("paying with the invoice key", shop, made)
    await teller.pay("paying", buyer, made)
    await teller.pay("paying again", buyer, made)
    await teller.look("paid", made["payment_hash"])
    await teller.get("a wallet with money", "/wallet", shop)
    await teller.get("the wallet of an unknown key", "/wallet", UNKNOWN_KEY)
    await teller.get("the reserve", "/payments/fee-reserve", shop, invoice=made["bolt11"])

    await teller.order(teller.shop, amount=1.9)
    await teller.order(teller.shop, amount=10_000_001)
    await teller.order(teller.shop, webhook="http://127.0.0.1:9/hook")
    await teller.order(teller.shop, webhook="https://shop.example/hook")

    await tell_of_payouts(teller)
    await tell_of_payouts_abroad(teller)
    await tell_of_refused_payouts(teller)
    await tell_of_an_expired_one(teller)
    settled = {"status": "success", "sortby": "updated_at", "direction": "desc", "amount[gt]": "0"}
    await teller.get("what is settled", "/payments", shop, **settled)
    await teller.get("the second of them", "/payments", shop, **settled, offset="1", limit="1")


async def tell_of_payouts(teller: Teller) -> None:
    dear = await teller.order(teller.buyer, amount=900)
    await teller.pay("paying more than there is", teller.shop.admin_key, dear)
    await teller.look("after that", dear["payment_hash"])
    cheap = await teller.order(teller.buyer, amount=5)
    await teller.pay("paying out", teller.shop.admin_key, cheap)
    await teller.look("paid out", cheap["payment_hash"])
    own = await teller.order(teller.shop, amount=3)
    await teller.pay("paying oneself", teller.shop.admin_key, own)
    await teller.look("paid to oneself", own["payment_hash"])
    key = teller.shop.invoice_key
    both = await teller.get("both halves", "/payments", key, payment_hash=own["payment_hash"])
    assert len(both) == 2


async def tell_of_payouts_abroad(teller: Teller) -> None:
    """To nodes that nobody can pay."""
    shop, buyer, made = teller.shop.admin_key, teller.buyer.admin_key, abroad(sats=5)
    await teller.pay("paying abroad", shop, made)
    await teller.look("failed abroad", made["payment_hash"])
    by_hash = {"payment_hash": made["payment_hash"]}
    await teller.get("what failed, listed", "/payments", shop, **by_hash)
    await teller.pay("paying abroad again", shop, made)
    await teller.pay("another wallet paying it", buyer, made)
    await teller.get(
        "the reserve, to nobody",
        "/payments/fee-reserve",
        None,
        invoice=abroad(sats=9_000)["bolt11"],
    )
    have = await teller.get("what is left", "/wallet", shop)
    await teller.pay("paying without the reserve", shop, abroad(sats=have["balance"] // 1000))
    await teller.pay("paying above that", shop, abroad(sats=have["balance"] // 1000 + 1))
    await teller.pay("paying what is failed without money", shop, made)


async def tell_of_refused_payouts(teller: Teller) -> None:
    shop = teller.shop.admin_key
    made = await teller.order(teller.buyer, amount=4)
    await teller.pay("paying with an unknown key", UNKNOWN_KEY, made)
    await teller.post("paying without a key", None, out=True, bolt11=made["bolt11"])
    await teller.post("paying nothing", shop, out=True)
    await teller.post("paying nonsense", shop, out=True, bolt11="lnbc1nonsense")
    await teller.pay("paying any amount", shop, abroad(sats=None))
    await teller.get(
        "the reserve of any amount",
        "/payments/fee-reserve",
        shop,
        invoice=abroad(sats=None)["bolt11"],
    )
    forged = abroad(sats=4, payment_hash=made["payment_hash"])
    await teller.pay("paying another invoice of that hash", shop, forged)
    await teller.look("not paid", made["payment_hash"])


def abroad(*, sats: int | None, payment_hash: str | None = None) -> dict[str, str]:
    """An invoice of a node that is none of LNbits'."""
    payment_hash = payment_hash or secrets.token_hex(32)
    text = encode_and_sign(
        secrets.token_bytes(32),
        network="mainnet",
        amount=None if sats is None else from_sats(sats),
        created_at_s=int(time.time()),
        payment_hash=payment_hash,
        payment_secret=secrets.token_hex(32),
        description="abroad",
    )
    return {"bolt11": text, "payment_hash": payment_hash}


async def tell_of_an_expired_one(teller: Teller) -> None:
    made = await teller.order(teller.shop, expiry=1)
    await asyncio.sleep(2.1)  # LNbits counts whole seconds
    await teller.look("expired", made["payment_hash"])
    await teller.look("expired, again", made["payment_hash"])
    key = teller.shop.invoice_key
    await teller.get("expired, listed", "/payments", key, payment_hash=made["payment_hash"])
    await teller.pay("paying what expired", teller.buyer.admin_key, made)


@asynccontextmanager
async def at_real(lnbits: RealLnbits) -> AsyncIterator[Teller]:
    async with aiohttp.ClientSession() as session:
        yield Teller(session, lnbits.url, lnbits.new_wallet(), lnbits.buyer)


@asynccontextmanager
async def at_simulated(lnbits: RealLnbits) -> AsyncIterator[Teller]:
    version = "1.5.6" if lnbits.version == "1.5.6" else "1.6.2"
    async with SimulatedLnbits(version=version) as sim, aiohttp.ClientSession() as session:
        sim.books.outcome_abroad = "failed"
        sim.books.failure_abroad = "Only internal invoices can be used!"  # what a FakeWallet says
        yield Teller(session, sim.url, sim.books.shop, sim.books.buyer)


def differences(real: Teller, simulated: Teller) -> Iterator[str]:
    for answer, other in zip(real.answers, simulated.answers, strict=True):
        if answer != other:
            yield f"\nreal {answer}\nsim  {other}"


async def test_both_answer_a_whole_story_alike(lnbits):
    async with at_real(lnbits) as real, at_simulated(lnbits) as simulated:
        await tell(real)
        await tell(simulated)

    assert list(differences(real, simulated)) == []


async def test_both_push_the_same(lnbits):
    async with at_real(lnbits) as real, at_simulated(lnbits) as simulated:
        heard = [await pushes_of(real), await pushes_of(simulated)]

    assert heard[0] == heard[1]


async def pushes_of(teller: Teller) -> list[Any]:
    """What a wallet's socket says of a payment in, one out, and a text that somebody posts."""
    address = f"{teller.url}/api/v1/ws/{teller.shop.invoice_key}"
    async with asyncio.timeout(PATIENCE_S), teller.session.ws_connect(address) as socket:
        made = await teller.order(teller.shop, amount=100)
        await teller.pay("paying", teller.buyer.admin_key, made)
        texts = [await socket.receive_str() for _ in range(2)]
        made = await teller.order(teller.buyer, amount=5)
        await teller.pay("paying out", teller.shop.admin_key, made)
        texts.append(await socket.receive_str())
        async with teller.session.post(address, params={"data": '"forged"'}) as response:
            assert response.status == 200
        texts.append(await socket.receive_str())
    return [shape(json.loads(text)) for text in texts]
