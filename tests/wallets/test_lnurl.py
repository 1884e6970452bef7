"""LNURL-pay with real receivers on loopback: honest ones, and those that answer something else."""

import hashlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from core.values.bolt11 import decode
from core.values.destinations import lnurl_of
from core.values.money import Msat
from tests.simulator.receiver import METADATA
from tests.wallets.lnurl_world import PRICE, World, lnurl_world

HEX = "ab" * 32


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with lnurl_world() as world:
        yield world


# Honest receivers


async def test_a_lightning_address_becomes_an_invoice_over_exactly_the_amount(world):
    text = await world.ask(world.receiver.address)

    invoice = decode(text)
    assert invoice.amount == PRICE
    assert invoice.description_hash == hashlib.sha256(METADATA.encode()).hexdigest()


async def test_an_lnurl_becomes_an_invoice(world):
    text = await world.ask(lnurl_of(world.receiver.url).upper())

    assert decode(text).amount == PRICE


async def test_the_callback_keeps_its_own_query(world):
    await world.ask(world.receiver.address)

    assert [str(request.rel_url) for request in world.receiver.requests] == [
        "/.well-known/lnurlp/alice",
        "/callback?to=alice&amount=21000",
    ]


async def test_a_callback_without_a_query_gets_one(world):
    world.receiver.offer["callback"] = f"http://{world.receiver.host}/callback"

    await world.ask(world.receiver.address)

    assert str(world.receiver.requests[-1].rel_url) == "/callback?amount=21000"


async def test_nothing_of_us_goes_along_with_a_call(world):
    await world.ask(world.receiver.address)

    for request in world.receiver.requests:
        assert dict(request.headers) == {
            "Host": world.receiver.host,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "boltwork",
            "Connection": "close",
        }


async def test_an_answer_counts_with_whatever_status(world):
    async def teapot(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ERROR", "reason": "<b>no tea</b>"}, status=418)

    world.receiver.instead_of_offer = teapot

    assert await world.refused(world.receiver.address) == (
        "The receiver refuses to make an invoice."
    )


async def test_the_machine_resolves_names_itself_when_nobody_else_is_named(world):
    port = world.receiver.port

    pr = await world.ask(f"alice@localhost:{port}", listed=[f"localhost:{port}"])

    assert decode(pr).amount == PRICE


# Receivers that offer something else

ODD_OFFER = "The receiver does not answer as LUD-06 wants it."
NO_OFFER = "The LNURL is for something else than receiving a payment."


@pytest.mark.parametrize(
    ("offer", "sentence"),
    [
        ({"tag": "withdrawRequest"}, NO_OFFER),
        ({"tag": "login"}, NO_OFFER),
        ({"tag": None}, ODD_OFFER),
        ({"callback": 1}, ODD_OFFER),
        ({"minSendable": "1000"}, ODD_OFFER),
        ({"minSendable": 1000.0}, ODD_OFFER),
        ({"maxSendable": None}, ODD_OFFER),
        ({"maxSendable": 1e99}, ODD_OFFER),
        ({"metadata": [["text/plain", "Alice"]]}, ODD_OFFER),
        ({"status": "ERROR", "reason": "closed"}, "The receiver refuses to make an invoice."),
        ({"status": "error"}, "The receiver refuses to make an invoice."),
        (
            {"minSendable": 22_000},
            "The receiver takes between 22000 and 100000000 msat at once, not 21000 msat.",
        ),
        (
            {"maxSendable": 20_999},
            "The receiver takes between 1000 and 20999 msat at once, not 21000 msat.",
        ),
        (
            {"minSendable": 30_000, "maxSendable": 10_000},
            "The receiver takes between 30000 and 10000 msat at once, not 21000 msat.",
        ),
    ],
)
async def test_an_offer_that_does_not_fit_is_refused(world, offer, sentence):
    world.receiver.offer |= offer

    assert await world.refused(world.receiver.address) == sentence
    assert len(world.receiver.requests) == 1


NO_INVOICE = "The receiver made something that is no invoice."
NO_HASH = "The receiver's invoice does not commit to what it said of itself."


@pytest.mark.parametrize(
    ("invoice", "sentence"),
    [
        (
            {"amount": Msat(20_000)},
            "The invoice is over 20000 msat, but 21000 msat are to be paid.",
        ),
        (
            {"amount": Msat(21_001)},
            "The invoice is not over whole satoshi.",
        ),
        ({"amount": None}, "The invoice names no amount."),
        ({"network": "testnet"}, "The invoice is for testnet, this server pays on regtest."),
        ({"network": "mainnet"}, "The invoice is for mainnet, this server pays on regtest."),
        ({"expiry_s": 29}, "The invoice has expired, or does so within 30 seconds."),
        ({"created_at_s": 1_700_000_000}, "The invoice has expired, or does so within 30 seconds."),
        ({"description_hash": HEX}, NO_HASH),
        ({"description_hash": None, "description": METADATA}, NO_HASH),
        ({"pr": ""}, NO_INVOICE),
        ({"pr": "lnbcrt1"}, NO_INVOICE),
        ({"pr": "alice@pay.example"}, NO_INVOICE),
        ({"pr": None}, "The receiver made no invoice."),
        ({"pr": 1}, "The receiver made no invoice."),
        ({"pr": ["lnbcrt1"]}, "The receiver made no invoice."),
    ],
)
async def test_another_invoice_than_was_asked_for_is_refused(world, invoice, sentence):
    world.receiver.invoice |= invoice

    assert await world.refused(world.receiver.address) == sentence


async def test_a_refusal_is_one_line_in_the_log(world, lines):
    world.receiver.offer["status"] = "ERROR"

    await world.refused(world.receiver.address)

    (entry,) = lines.entries
    assert entry["event"] == "no invoice from a receiver"
    assert entry["host"] == "127.0.0.1"
