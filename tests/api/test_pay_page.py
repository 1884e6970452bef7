"""The pay page over HTTP: what it shows, to whom, and that it hears of a payment at once."""

import asyncio
import re
from importlib.resources import files

import pytest

from api.info import Bot, info_of
from api.pay import LANGUAGES, language_of
from api.pay_page import PayPage
from core.config import load
from core.values.texts import read

PUBLIC = "https://shop.example"
REQUEST = "Sort these names: Zoe, Adam"


@pytest.fixture
async def public_shop(open_shop):
    return await open_shop(SERVER__PUBLIC_URL=PUBLIC)


def path_of(invoice):
    """Where the page of an invoice is on this server."""
    return invoice["payUrl"].removeprefix(PUBLIC)


def shown(page):
    """The states that a page has and does not hide."""
    return re.findall(r'<section data-when="(\w+)"[^>]*"(?! hidden)>', page)


async def ordered(shop):
    return (await shop.order(REQUEST))["evalInvoice"]


async def expired(shop):
    """The path of an invoice that has just run out."""
    path = path_of(await ordered(shop))
    assert (await shop.get(f"{path}/status?status=open&wait=10")).json == {"status": "expired"}
    return path


async def test_an_open_invoice_is_shown_with_all_that_paying_needs(public_shop):
    invoice = await ordered(public_shop)

    answer = await public_shop.get(path_of(invoice))
    page = answer.body.decode()

    assert answer.status == 200
    assert shown(page) == ["open"]
    assert "21 sat" in page
    assert "Check of your request" in page
    assert f'href="lightning:{invoice["paymentRequest"]}"' in page
    assert "<svg" in page
    assert "Boltwork" in page
    assert "Play money" in page


async def test_the_page_says_nothing_of_the_request_and_names_no_id(public_shop):
    job = await public_shop.order(REQUEST)

    page = (await public_shop.get(path_of(job["evalInvoice"]))).body.decode()

    assert REQUEST not in page
    assert job["jobId"] not in page + job["evalInvoice"]["payUrl"]
    assert job["jobToken"] not in page


async def test_a_paid_invoice_is_shown_as_paid_and_comes_again_no_more(public_shop):
    invoice = await ordered(public_shop)
    await public_shop.pay(invoice)
    await public_shop.get(f"{path_of(invoice)}/status?status=open&wait=10")

    page = (await public_shop.get(path_of(invoice))).body.decode()

    assert shown(page) == ["paid"]
    assert "Paid. You can close this page." in page
    assert "http-equiv" not in page


async def test_an_expired_invoice_says_what_to_do_for_who_has_paid(open_shop):
    shop = await open_shop(SERVER__PUBLIC_URL=PUBLIC, JOBS__INVOICE_EXPIRY_S="1")
    path = await expired(shop)

    page = (await shop.get(path)).body.decode()

    assert shown(page) == ["expired"]
    assert "Paid already? Wait a minute" in page
    assert 'http-equiv="refresh"' in page


async def test_a_late_payment_turns_an_expired_page_to_paid(open_shop):
    shop = await open_shop(SERVER__PUBLIC_URL=PUBLIC, JOBS__INVOICE_EXPIRY_S="1")
    invoice = await ordered(shop)
    status = f"{path_of(invoice)}/status"
    await shop.get(f"{status}?status=open&wait=10")

    waiting = asyncio.ensure_future(shop.get(f"{status}?status=expired&wait=30"))
    await shop.pay(invoice)

    async with asyncio.timeout(2):
        assert (await waiting).json == {"status": "paid"}


async def test_who_waits_hears_of_a_payment_within_two_seconds(public_shop):
    invoice = await ordered(public_shop)
    waiting = asyncio.ensure_future(
        public_shop.get(f"{path_of(invoice)}/status?status=open&wait=30")
    )

    await public_shop.pay(invoice)

    async with asyncio.timeout(2):
        assert (await waiting).json == {"status": "paid"}


async def test_a_deposit_has_a_page_that_hears_of_its_payment_too(public_shop):
    opened = await public_shop.post("/sessions", json={"amountSats": 1000})
    invoice = opened.json["depositInvoice"]
    waiting = asyncio.ensure_future(
        public_shop.get(f"{path_of(invoice)}/status?status=open&wait=30")
    )

    await public_shop.pay(invoice)

    async with asyncio.timeout(2):
        assert (await waiting).json == {"status": "paid"}
    assert b"Deposit to your balance" in (await public_shop.get(path_of(invoice))).body


async def test_what_a_402_asks_for_has_a_page_too(open_shop):
    shop = await open_shop(SERVER__PUBLIC_URL=PUBLIC, SESSIONS__MIN_DEPOSIT_SATS="1")
    opened = (await shop.post("/sessions", json={"amountSats": 1})).json
    await shop.pay(opened["depositInvoice"])
    await shop.get(f"{path_of(opened['depositInvoice'])}/status?status=open&wait=10")

    ask = {"model": "offline", "messages": [{"role": "user", "content": "x" * 4_000}]}
    key = {"X-Api-Key": opened["macaroon"]}
    answer = await shop.post("/v1/chat/completions", json=ask, headers=key)

    assert answer.status == 402
    page = await shop.get(path_of(answer.json["payment"]))
    assert shown(page.body.decode()) == ["open"]


async def test_without_a_change_the_status_comes_when_the_time_is_over(public_shop):
    path = path_of(await ordered(public_shop))

    assert (await public_shop.get(f"{path}/status")).json == {"status": "open"}
    assert (await public_shop.get(f"{path}/status?status=open&wait=1")).json == {"status": "open"}
    assert (await public_shop.get(f"{path}/status?status=paid&wait=30")).json == {"status": "open"}


async def test_all_addresses_that_lead_nowhere_show_the_same_page(public_shop):
    token = path_of(await ordered(public_shop)).removeprefix("/pay/")
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")

    answers = [await public_shop.get(f"/pay/{text}") for text in ("x", "A" * 64, forged)]

    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert b"There is no such invoice" in answers[0].body
    assert (await public_shop.get(f"/pay/{forged}/status")).code == "not_found"


def test_the_page_names_the_bots_that_send_people_to_it():
    config = load(None, {})
    bots = [Bot(network="telegram", name="@bolt<bot"), Bot(network="nostr", name="npub1&")]

    page = PayPage.of(read(files("api") / "texts", LANGUAGES), info_of(config, bots)).unknown("en")

    assert '<a href="https://t.me/bolt&lt;bot" rel="noreferrer">@bolt&lt;bot</a>' in page
    assert "Nostr: npub1&amp;" in page


@pytest.mark.parametrize("path", ["/pay", "/pay/"])
async def test_pages_are_not_listed(public_shop, path):
    await ordered(public_shop)

    assert (await public_shop.get(path)).status == 404


@pytest.mark.parametrize("token", [None, "A" * 64], ids=["a page", "nowhere"])
async def test_a_browser_may_load_nothing_and_search_engines_keep_off(public_shop, token):
    path = path_of(await ordered(public_shop)) if token is None else f"/pay/{token}"

    answer = await public_shop.get(path)

    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert b'name="robots" content="noindex, nofollow"' in answer.body
    assert re.findall(rb'(?:src|action)="', answer.body) == []
    assert b" style=" not in answer.body


async def test_the_page_speaks_german_to_whom_likes_it_best(public_shop):
    path = path_of(await ordered(public_shop))

    answer = await public_shop.get(path, headers={"Accept-Language": "de-AT,de;q=0.9,en;q=0.8"})

    assert "Prüfung deiner Anfrage" in answer.body.decode()
    assert answer.headers["Content-Language"] == "de"
    assert b'<html lang="de">' in answer.body


@pytest.mark.parametrize(
    ("accepted", "lang"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE-ch", "de"),
        ("en;q=0.5, de;q=0.7", "de"),
        ("fr, de;q=0.1", "de"),
        ("de;q=0, en;q=0.1", "en"),
        ("de;q=much, en;q=0.1", "en"),
        ("en, de", "en"),
        ("fr", "en"),
        ("*", "en"),
        (";;,=,q=1;q=", "en"),
    ],
)
def test_a_language_is_picked_as_the_field_weighs_it(accepted, lang):
    assert language_of(accepted, LANGUAGES) == lang


async def test_without_a_public_address_a_page_has_no_link_but_its_own(shop):
    invoice = await ordered(shop)

    links = shop.core.desk.pay_pages.links

    assert (invoice["payUrl"], shop.core.desk.pay_url(invoice["paymentHash"])) == (None, None)
    assert (await shop.get(f"/pay/{links.token_of(invoice['paymentHash'])}")).status == 200
