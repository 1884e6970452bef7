"""L402: what a stranger is asked, who may spend what was paid, what a poor session is told."""

import re

import pytest
from l402_requests import AsyncL402Client
from l402_requests.wallets import WalletBase

from core.values import bolt11
from tests.v1.market import ASKED, INPUT, OUTPUT, bearer, challenged, chat, hold_of, tokens

APERTURE = re.compile(r'(LSAT|L402) macaroon="(.*?)", invoice="(.*?)"')
LNGET = re.compile(r'(?i)(LSAT|L402)\s+macaroon="([^"]+)",\s*invoice="([^"]+)"')
EXACT = re.compile(
    r'L402 macaroon="([A-Za-z0-9+/]+={0,2})", invoice="(lnbcrt[0-9a-z]+)", version="0", token="\1"'
)
LONG = [{"role": "user", "content": "x" * 30_000}]
COST = tokens(ASKED) * INPUT + tokens("Done as asked.") * OUTPUT


class PlayMoney(WalletBase):
    """Pays with the stub wallet's money."""

    def __init__(self, market) -> None:
        self.market = market
        self.paid = 0

    async def pay_invoice(self, bolt11: str) -> str:
        self.paid += 1
        return await self.market.pay(bolt11)


async def test_a_stranger_is_challenged_byte_for_byte_as_clients_read_it(market):
    async with market.shop.session.post(
        f"{market.base_url}/chat/completions", json=chat()
    ) as answer:
        name, value = answer.raw_headers[0]
        problem = await answer.json()

    assert answer.status == 402
    assert name == b"WWW-Authenticate"
    found = EXACT.fullmatch(value.decode())
    assert found is not None
    assert len(found[1]) % 4 == 0
    for client in (APERTURE, LNGET):
        assert client.search(value.decode()).groups()[1:] == found.groups()
    assert answer.headers["Cache-Control"] == "no-store"
    assert problem["code"] == "payment_required"
    assert problem["payment"] is None
    assert bolt11.decode(found[2]).amount == 1_000_000


async def test_a_challenge_covers_what_the_request_needs(market):
    answer = await market.ask(None, n=100, max_tokens=1000, stream=True)

    _, invoice = challenged(answer)
    needed = len(str(chat(n=100)))  # about the body
    assert bolt11.decode(invoice).amount >= 100 * 1000 * OUTPUT + needed * INPUT


async def test_what_no_session_may_hold_is_refused(open_market):
    market = await open_market(
        SESSIONS__L402_DEPOSIT_SATS="1",
        SESSIONS__MIN_DEPOSIT_SATS="1",
        SESSIONS__MAX_DEPOSIT_SATS="513",
    )

    fits = await market.ask(None, n=128, max_tokens=1_000)
    large = await market.ask(None, n=128, max_tokens=1_000, messages=LONG)

    assert fits.status == 402
    assert large.code == "invalid_request"


async def test_the_same_challenge_is_handed_out_twice_and_a_paid_one_never(market):
    first = challenged(await market.ask(None))
    second = challenged(await market.ask(None))
    await market.pay(second[1])
    third = challenged(await market.ask(None))

    assert first == second
    assert third != second


@pytest.mark.parametrize("coat", ["L402 {0}:{1}", "LSAT {0}:{1}", "Bearer {0}:{1}"])
async def test_whoever_paid_spends_in_every_coat(market, coat):
    macaroon, invoice = challenged(await market.ask(None))
    preimage = await market.pay(invoice)

    answer = await market.shop.post(
        "/v1/chat/completions",
        json=chat(),
        headers={"Authorization": coat.format(macaroon, preimage)},
    )

    assert answer.status == 200
    assert answer.json["usage"]["balance_msat"] == 1_000_000 - COST


async def test_who_saw_the_challenge_and_did_not_pay_cannot_spend(market):
    macaroon, invoice = challenged(await market.ask(None))
    await market.pay(invoice)

    alone = await market.ask(macaroon)
    guessed = await market.ask(f"{macaroon}:{'0' * 64}")
    keyed = await market.ask(macaroon, headers={"Idempotency-Key": "k"}, stream=True)

    assert [answer.code for answer in (alone, guessed, keyed)] == ["unauthorized"] * 3
    assert market.upstream.calls == []


async def test_l402_requests_buys_from_a_cold_start_and_uses_its_token_again(market):
    wallet = PlayMoney(market)
    async with AsyncL402Client(wallet=wallet) as client:
        first = await client.post(f"{market.base_url}/chat/completions", json=chat())
        second = await client.post(f"{market.base_url}/chat/completions", json=chat())

    assert first.status_code == second.status_code == 200
    assert wallet.paid == 1
    assert second.json()["usage"]["balance_msat"] == 1_000_000 - 2 * COST


async def test_a_poor_session_is_told_what_it_has_and_needs(open_market):
    market = await open_market(
        SESSIONS__MIN_DEPOSIT_SATS="1",
        PRICING__MIN_OUTPUT_TOKENS="100",
    )
    token = await market.session(1)  # 1,000 msat
    body = {"messages": [{"role": "user", "content": "x" * 2_000}]}

    answer = await market.ask(token, **body)
    again = await market.ask(token, stream=True, **body)

    needed = hold_of(**body)
    assert answer.status == 402
    assert answer.code == "insufficient_balance"
    assert answer.json["balanceMsat"] == 1_000
    assert answer.json["neededMsat"] == needed
    payment = answer.json["payment"]
    assert payment["purpose"] == "topup"
    assert payment["status"] == "open"
    assert payment["amountSats"] == -(-(needed - 1_000) // 1000)
    macaroon, invoice = challenged(answer)
    assert invoice == payment["paymentRequest"]
    assert challenged(again) == (macaroon, invoice)
    assert answer.json["error"]["type"] == "insufficient_quota"

    preimage = await market.pay(invoice)

    assert (await market.ask(token, **body)).status == 200
    assert (await market.ask(f"{macaroon}:{preimage}")).status == 200
    assert (await market.at_rest(token))["depositedMsat"] == 1_000 + payment["amountSats"] * 1000


async def test_a_client_that_drops_its_old_token_on_402_keeps_its_old_balance(open_market):
    market = await open_market(SESSIONS__L402_DEPOSIT_SATS="1", SESSIONS__MIN_DEPOSIT_SATS="10")
    wallet = PlayMoney(market)
    async with AsyncL402Client(wallet=wallet) as client:
        url = f"{market.base_url}/chat/completions"
        small = await client.post(url, json=chat())
        left = small.json()["usage"]["balance_msat"]
        long_text = [{"role": "user", "content": "x" * 5_000}]
        large = await client.post(url, json=chat(messages=long_text))
        if large.status_code == 402:  # this client pays a 402 of its own token on the next call
            large = await client.post(url, json=chat(messages=long_text))

    assert large.status_code == 200
    assert wallet.paid == 2
    balance = large.json()["usage"]["balance_msat"]
    assert balance == left + 10_000 - large.json()["usage"]["cost_msat"]


async def test_a_token_without_the_right_to_top_up_is_offered_a_session_of_its_own(open_market):
    market = await open_market(SESSIONS__MIN_DEPOSIT_SATS="1", PRICING__MIN_OUTPUT_TOKENS="100")
    root = await market.session(1)
    token = await market.token(root, rights=["spend", "read"])

    answer = await market.ask(token, messages=[{"role": "user", "content": "x" * 2_000}])

    assert answer.code == "insufficient_balance"
    assert answer.json["payment"] is None
    macaroon, invoice = challenged(answer)
    preimage = await market.pay(invoice)
    fresh = f"{macaroon}:{preimage}"
    assert (await market.account(fresh))["sessionId"] != (await market.account(root))["sessionId"]


async def test_an_unpaid_deposit_is_asked_for_again(market):
    opened = await market.shop.post("/sessions", json={"amountSats": 500})
    token = opened.json["macaroon"]

    answer = await market.ask(token)

    assert answer.status == 402
    assert answer.json["payment"]["paymentHash"] == opened.json["depositInvoice"]["paymentHash"]
    await market.shop.pay(answer.json["payment"])
    assert (await market.ask(token)).status == 200
    assert (await market.shop.get("/sessions/me", headers=bearer(token))).json["state"] == "active"
