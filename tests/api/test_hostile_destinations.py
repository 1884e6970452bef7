"""Destinations that lead inside, lie, or cannot be paid: each is a clear 4xx and costs nothing.

What a name resolves to is tried in `tests/wallets/test_lnurl_hostile.py`.
"""

import json
import secrets
import time

from aiohttp import web

from core.values.bolt11 import encode_and_sign
from core.values.destinations import lnurl_of
from core.values.money import from_sats
from tests.api.test_unknown_payout import job_that_owes, shop, sim
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.receiver import Canary, SimulatedReceiver

__all__ = ["shop", "sim"]

# `{}` is where the canary listens.
PLACES = [
    "127.0.0.1:{}",
    "127.1:{}",
    "0.0.0.0:{}",
    "localhost:{}",
    "localhost.:{}",
    "2130706433:{}",
    "017700000001:{}",
    "0x7f000001:{}",
    "0177.0.0.1:{}",
    "0x7f.0.0.1:{}",
    "[::1]:{}",
    "[::]:{}",
    "[::ffff:127.0.0.1]:{}",
    "[::ffff:7f00:1]:{}",
    "[64:ff9b::7f00:1]:{}",
    "user:password@127.0.0.1:{}",
    "example.org@127.0.0.1:{}",
    "example.org:{}",
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "192.168.0.1",
    "[fd00::1]",
]


def addresses(port):
    for place in PLACES:
        yield f"alice@{place.format(port)}"
        yield lnurl_of(f"https://{place.format(port)}/pay")
        yield lnurl_of(f"http://{place.format(port)}/pay")
    yield lnurl_of(f"ftp://127.0.0.1:{port}/pay")
    yield lnurl_of("file:///etc/passwd")
    yield lnurl_of(f"https://example.org\\@127.0.0.1:{port}/")
    yield "lnurl1nonsense"


def invoice(*, network="mainnet", sats=16, age_s=0):
    return encode_and_sign(
        secrets.token_bytes(32),
        network=network,
        amount=None if sats is None else from_sats(sats),
        created_at_s=int(time.time()) - age_s,
        payment_hash=secrets.token_hex(32),
        payment_secret=secrets.token_hex(32),
        description="mine",
    )


def invoices(own):
    yield own
    yield own.upper()
    yield invoice(network="testnet")
    yield invoice(network="signet")
    yield invoice(network="regtest")
    yield invoice(sats=None)
    yield invoice(sats=15)
    yield invoice(sats=17)
    yield invoice(sats=16_000)
    yield invoice(age_s=90_000)
    yield invoice(age_s=3_580)  # it has 20 s left
    yield mistyped(invoice())
    yield "lnbc1" + "q" * 4_000


def mistyped(text):
    return text[:-1] + ("p" if text.endswith("q") else "q")


async def test_each_is_refused_and_nobody_is_called(shop, sim):
    path, token = await job_that_owes(shop, sim)
    own = (await shop.get(path)).json["evalInvoice"]["paymentRequest"]
    async with Canary() as canary:
        hostile = [*addresses(canary.port), *invoices(own)]
        answers = [
            await shop.post(f"{path}/refund", json={"to": to}, headers=token) for to in hostile
        ]
        knocks = canary.knocks

    wrong = {
        to: answer.body
        for to, answer in zip(hostile, answers, strict=True)
        if answer.status != 400 or answer.json["errors"][0]["pointer"] != "/to"
    }
    assert len(hostile) > 40
    assert wrong == {}
    await nothing_has_happened(shop, sim, path, knocks)


async def nothing_has_happened(shop, sim, path, knocks):
    [refund] = (await shop.get(path)).json["refunds"]
    assert (refund["state"], refund["amountMsat"]) == ("due", 16_000)
    assert (knocks, sim.calls_of("pay"), sim.calls_of("fee_reserve")) == (0, [], [])


async def test_a_receiver_that_lies_is_refused_and_nobody_else_is_called(open_shop, database):
    async with (
        SimulatedLnbits() as sim,
        Canary() as canary,
        SimulatedReceiver(now_ms=lambda: int(time.time() * 1000), network="mainnet") as receiver,
    ):
        shop = await open_shop(
            DATABASE__URL=database.url,
            WALLET__KIND="lnbits",
            WALLET__NETWORK="mainnet",
            WALLET__LNBITS__URL=sim.url,
            WALLET__LNBITS__INVOICE_KEY=sim.books.shop.invoice_key,
            WALLET__LNBITS__ADMIN_KEY=sim.books.shop.admin_key,
            REFUNDS__LNURL_INSECURE_HOSTS=json.dumps([receiver.host]),
        )
        path, token = await job_that_owes(shop, sim)
        inside = f"http://127.0.0.1:{canary.port}/"
        statuses = []
        for lie in lies(inside):
            receiver.offer, receiver.invoice = lie.get("offer", {}), lie.get("invoice", {})
            receiver.instead_of_offer = lie.get("instead")
            answer = await shop.post(f"{path}/refund", json={"to": receiver.address}, headers=token)
            statuses.append(answer.status)
        knocks = canary.knocks

        assert statuses == [400] * len(statuses)
        await nothing_has_happened(shop, sim, path, knocks)


def lies(inside):
    yield {"offer": {"callback": inside}}
    yield {"offer": {"callback": inside.replace("http", "https")}}
    yield {"offer": {"minSendable": 16_001}}
    yield {"offer": {"maxSendable": 15_999}}
    yield {"offer": {"tag": "withdrawRequest"}}
    yield {"invoice": {"amount": from_sats(15)}}
    yield {"invoice": {"amount": from_sats(17)}}
    yield {"invoice": {"amount": None}}
    yield {"invoice": {"network": "testnet"}}
    yield {"invoice": {"created_at_s": 1_700_000_000}}
    yield {"invoice": {"description_hash": "00" * 32}}
    yield {"invoice": {"pr": "lnbc1nonsense"}}
    yield {"instead": redirecting_to(inside)}
    yield {"instead": answering(b" " * 70_000)}


def redirecting_to(inside):
    async def redirect(_request):
        raise web.HTTPFound(inside)

    return redirect


def answering(body):
    async def send(_request):
        return web.Response(body=body)

    return send
