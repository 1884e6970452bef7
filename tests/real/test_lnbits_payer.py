"""Paying out through real LNbits, on a node that can pay none but LNbits' own wallets."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from core.values.bolt11 import encode_and_sign
from core.values.clock import SystemClock
from core.values.money import NOTHING, Msat, from_sats
from core.wallets.lnbits import LnbitsWallet
from core.wallets.lnbits_payer import LnbitsPayer
from core.wallets.port import Failed, Missing, NotBegun, Sent, Unproven, WalletInvoice
from tests.real.lnbits_server import RealLnbits, RealWallet

EXTRA = {"kind": "payout", "refund": "rfd_1"}
SHOP_SATS = 1_000


@dataclass
class Shop:
    """A wallet with 1,000 sats that pays out, beside one of a customer."""

    keys: RealWallet
    wallet: LnbitsWallet
    payer: LnbitsPayer
    customer: LnbitsWallet

    async def asked_for(self, sats: int = 100, expiry_s: int = 600) -> WalletInvoice:
        """An invoice of the customer."""
        return await self.customer.create_invoice(
            from_sats(sats), memo="a refund", expiry_s=expiry_s, extra={}
        )

    async def pay(self, text: str):
        return await self.payer.pay(text, extra=EXTRA)

    async def fill(self, lnbits: RealLnbits, sats: int) -> None:
        made = await self.wallet.create_invoice(
            from_sats(sats), memo="sold", expiry_s=600, extra={}
        )
        assert await lnbits.pay(made.bolt11) == 201


@pytest.fixture
async def shop(lnbits) -> AsyncIterator[Shop]:
    keys, customer = lnbits.new_wallet(), lnbits.new_wallet("customer")
    async with (
        wallet_at(lnbits, keys) as wallet,
        wallet_at(lnbits, customer) as other,
        payer_at(lnbits, wallet, keys.admin_key) as payer,
    ):
        shop = Shop(keys, wallet, payer, other)
        await shop.fill(lnbits, SHOP_SATS)
        yield shop


@asynccontextmanager
async def wallet_at(lnbits: RealLnbits, keys: RealWallet) -> AsyncIterator[LnbitsWallet]:
    wallet = LnbitsWallet(
        url=lnbits.url, invoice_key=keys.invoice_key, network="mainnet", clock=SystemClock()
    )
    yield wallet
    await wallet.aclose()


@asynccontextmanager
async def payer_at(
    lnbits: RealLnbits, wallet: LnbitsWallet, key: str
) -> AsyncIterator[LnbitsPayer]:
    payer = LnbitsPayer(url=lnbits.url, admin_key=key, turns=wallet.turns)
    yield payer
    await payer.aclose()


def abroad(sats: int, *, payment_hash: str | None = None, age_s: int = 0) -> tuple[str, str]:
    """An invoice of a node that this one cannot pay, and its hash."""
    payment_hash = payment_hash or secrets.token_hex(32)
    text = encode_and_sign(
        secrets.token_bytes(32),
        network="mainnet",
        amount=from_sats(sats),
        created_at_s=int(time.time()) - age_s,
        payment_hash=payment_hash,
        payment_secret=secrets.token_hex(32),
        description="abroad",
    )
    return text, payment_hash


async def test_a_refund_arrives_once_with_its_preimage(shop):
    made = await shop.asked_for()

    sent = await shop.pay(made.bolt11)

    assert isinstance(sent, Sent)
    assert sent.fee == NOTHING
    assert hashlib.sha256(bytes.fromhex(sent.preimage)).hexdigest() == made.payment_hash
    assert await shop.payer.outcome(made.payment_hash) == sent
    assert await shop.payer.balance() == from_sats(SHOP_SATS - 100)
    assert await shop.customer.balance() == from_sats(100)


async def test_the_payment_says_at_lnbits_what_it_was_for(shop, lnbits):
    made = await shop.asked_for()
    await shop.pay(made.bolt11)

    address = f"{lnbits.url}/api/v1/payments"
    headers = {"X-Api-Key": shop.keys.admin_key}
    async with (
        aiohttp.ClientSession() as session,
        session.get(address, params={"amount[lt]": "0"}, headers=headers) as response,
    ):
        [listed] = await response.json()
    assert listed["payment_hash"] == made.payment_hash
    assert listed["extra"] == EXTRA


async def test_paid_again_one_at_a_time_or_all_at_once_it_is_paid_once(shop):
    made = await shop.asked_for()

    at_once = await asyncio.gather(*(shop.pay(made.bolt11) for _ in range(5)))
    later = await shop.pay(made.bolt11)

    assert [type(outcome) for outcome in [*at_once, later]] == [Sent] * 6
    assert await shop.payer.balance() == from_sats(SHOP_SATS - 100)
    assert await shop.customer.balance() == from_sats(100)


async def test_what_another_wallet_paid_is_not_ours(shop, lnbits):
    made = await shop.asked_for()
    await lnbits.pay(made.bolt11)

    assert isinstance(await shop.pay(made.bolt11), Missing)
    assert await shop.payer.balance() == from_sats(SHOP_SATS)


async def test_an_expired_invoice_of_the_same_lnbits_is_paid_all_the_same(shop):
    made = await shop.asked_for(expiry_s=1)
    await asyncio.sleep(max(made.expires_at_ms / 1000 - time.time(), 0) + 0.1)

    assert isinstance(await shop.pay(made.bolt11), Sent)


async def test_what_the_node_cannot_pay_is_failed_and_stays_so(shop):
    text, payment_hash = abroad(100)

    first = await shop.pay(text)

    assert isinstance(first, Failed)
    assert isinstance(await shop.payer.outcome(payment_hash), Failed)
    assert isinstance(await shop.pay(text), Failed)
    assert await shop.payer.balance() == from_sats(SHOP_SATS)


async def test_an_expired_invoice_that_failed_is_looked_after_and_not_sent(shop):
    text, _ = abroad(100, age_s=90_000)

    assert isinstance(await shop.pay(text), Failed)
    assert isinstance(await shop.pay(text), Failed)


@pytest.mark.parametrize("is_abroad", [False, True])
async def test_without_enough_money_nothing_is_begun(shop, is_abroad):
    made = await shop.asked_for(SHOP_SATS + 1)
    text, payment_hash = (made.bolt11, made.payment_hash)
    if is_abroad:
        text, payment_hash = abroad(SHOP_SATS + 1)

    assert isinstance(await shop.pay(text), NotBegun)
    assert isinstance(await shop.payer.outcome(payment_hash), Missing)


async def test_without_the_reserve_nothing_is_begun(shop):
    text, payment_hash = abroad(SHOP_SATS - 1)

    assert isinstance(await shop.pay(text), NotBegun)
    assert isinstance(await shop.payer.outcome(payment_hash), Missing)


async def test_what_was_paid_with_the_last_money_is_found_again(shop):
    made = await shop.asked_for(SHOP_SATS)
    sent = await shop.pay(made.bolt11)

    assert isinstance(sent, Sent)
    assert await shop.pay(made.bolt11) == sent


async def test_a_failure_is_not_confirmed_without_the_money_to_ask(shop):
    text, _ = abroad(500)
    assert isinstance(await shop.pay(text), Failed)
    await shop.pay((await shop.asked_for(SHOP_SATS)).bolt11)

    assert isinstance(await shop.pay(text), Unproven)


async def test_the_invoice_key_pays_nothing(shop, lnbits):
    made = await shop.asked_for()

    async with payer_at(lnbits, shop.wallet, shop.keys.invoice_key) as poor:
        assert isinstance(await poor.pay(made.bolt11, extra=EXTRA), NotBegun)

    assert await shop.payer.balance() == from_sats(SHOP_SATS)


async def test_an_unknown_key_proves_nothing(shop, lnbits):
    made = await shop.asked_for()
    await shop.pay(made.bolt11)

    async with payer_at(lnbits, shop.wallet, "0" * 32) as stranger:
        assert isinstance(await stranger.pay(made.bolt11, extra=EXTRA), Unproven)
        assert isinstance(await stranger.outcome(made.payment_hash), Unproven)
        assert isinstance(await stranger.outcome("ab" * 32), Unproven)


async def test_another_invoice_with_the_hash_of_one_is_not_paid(shop):
    made = await shop.asked_for()
    forged, _ = abroad(100, payment_hash=made.payment_hash)

    assert isinstance(await shop.pay(forged), Missing)
    assert await shop.payer.balance() == from_sats(SHOP_SATS)


async def test_our_own_invoice_is_no_outgoing_payment(shop, lnbits):
    made = await shop.wallet.create_invoice(from_sats(7), memo="", expiry_s=600, extra={})

    before = await shop.payer.outcome(made.payment_hash)
    await lnbits.pay(made.bolt11)

    assert isinstance(before, Unproven)
    assert isinstance(await shop.payer.outcome(made.payment_hash), Unproven)


async def test_the_reserve_is_one_percent_and_at_least_two_satoshi(shop):
    for sats, reserve in ((10, 2_000), (10_000, 100_000)):
        assert await shop.payer.fee_reserve(abroad(sats)[0]) == Msat(reserve)
