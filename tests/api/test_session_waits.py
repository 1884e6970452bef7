"""Sessions that nobody pays end, and come back to life with their money; tokens run out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import pytest

from api.app import serve_api
from core.app import open_core
from core.config import load
from core.values.clock import rfc3339
from core.wallets.port import LookUp, Unknown
from core.wallets.stub import StubWallet
from tests.api.account import SORT, Account, credited
from tests.api.conftest import Shop, eventually
from tests.hand_clock import HandClock

DAY_S = 86_400


class SilentWallet(StubWallet):
    """A stub wallet that does not answer while the test says so."""

    is_silent = False

    async def look_up(self, payment_hash: str) -> LookUp:
        return Unknown("says the test") if self.is_silent else await super().look_up(payment_hash)


@dataclass(frozen=True, slots=True)
class Later:
    """A shop whose time the test moves."""

    shop: Shop
    wallet: SilentWallet
    clock: HandClock


@pytest.fixture
async def later(database) -> AsyncIterator[Later]:
    clock = HandClock()
    wallet = SilentWallet.open(database.data_dir, clock=clock)
    settings = {
        "SERVER__DATA_DIR": str(database.data_dir),
        "SERVER__LISTEN": "127.0.0.1:0",
        "OPERATOR__LISTEN": "127.0.0.1:0",
        "DATABASE__URL": database.url,
    }
    config = load(None, {f"BOLTWORK_{name}": text for name, text in settings.items()})
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(open_core(config, wallet=wallet, clock=clock))
        doors = await stack.enter_async_context(serve_api(core, config))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Later(Shop(core, doors, session), wallet, clock)


async def status(account):
    return (await account.get("/sessions/me")).status


async def has_ended(account):
    return await status(account) == 401


async def swept(later, times=3):
    """Some rounds of the keeper."""
    for _ in range(times):
        await later.clock.pass_time(1)


async def test_a_session_that_nobody_pays_ends_after_its_time(later):
    account, _ = await Account.open(later.shop)
    child, _ = await account.child()

    await later.clock.pass_time(DAY_S - 10)
    await swept(later)
    before = await status(account)
    await later.clock.pass_time(10)

    assert before == 200
    await eventually(lambda: has_ended(account))
    assert await status(child) == 401


async def test_money_that_still_comes_revives_it(later):
    account, opened = await Account.open(later.shop, 700)
    await later.clock.pass_time(DAY_S)
    await eventually(lambda: has_ended(account))

    await later.shop.pay(opened["depositInvoice"])

    await eventually(lambda: is_open(account))
    session = await credited(account, 700_000)
    assert session["state"] == "active"
    assert (await account.post("/sessions/me/jobs", {"request": SORT})).status == 201


async def is_open(account):
    return await status(account) == 200


async def test_each_invoice_gives_it_its_whole_time_again(later):
    account, _ = await Account.open(later.shop)
    await later.clock.pass_time(DAY_S - 10)
    await account.post("/sessions/me/topup", {"amountSats": 100})

    await later.clock.pass_time(DAY_S - 10)
    await swept(later)
    before = await status(account)
    await later.clock.pass_time(10)

    assert before == 200
    await eventually(lambda: has_ended(account))


async def test_so_does_an_invoice_that_a_request_was_answered_with(later):
    account, _ = await Account.open(later.shop)
    await later.clock.pass_time(DAY_S - 10)
    assert (await account.post("/sessions/me/jobs", {"request": SORT})).status == 402

    await later.clock.pass_time(20)
    await swept(later)

    assert await status(account) == 200


async def test_it_does_not_end_on_an_answer_that_the_wallet_did_not_give(later):
    account, _ = await Account.open(later.shop)
    later.wallet.is_silent = True
    await later.clock.pass_time(DAY_S)
    await swept(later)
    silent = await status(account)

    later.wallet.is_silent = False
    await later.clock.pass_time(70)

    assert silent == 200
    await eventually(lambda: has_ended(account))


async def test_a_session_with_money_never_ends(later):
    account = await Account.filled(later.shop)
    await account.post("/sessions/me/topup", {"amountSats": 100})

    await later.clock.pass_time(100 * DAY_S)
    await swept(later)

    assert (await account.session())["state"] == "active"


async def test_neither_does_one_that_was_closed_before_its_deposit(later):
    account, opened = await Account.open(later.shop)
    await account.delete("/sessions/me")
    await later.clock.pass_time(2 * DAY_S)
    await swept(later)

    await later.shop.pay(opened["depositInvoice"])

    assert (await credited(account, 1_000_000))["state"] == "closed"


async def test_only_invoices_that_can_be_paid_are_shown_as_open(later):
    account, opened = await Account.open(later.shop)
    await later.clock.pass_time(600)
    topped_up = (await account.post("/sessions/me/topup", {"amountSats": 100})).json
    both = (await account.session())["openInvoices"]

    await later.clock.pass_time(300)

    assert both == [topped_up["topupInvoice"], opened["depositInvoice"]]
    assert (await account.session())["openInvoices"] == [topped_up["topupInvoice"]]


async def test_an_invoice_that_is_paid_after_its_expiry_counts(later):
    account, opened = await Account.open(later.shop)
    await later.clock.pass_time(3_600)

    await later.shop.pay(opened["depositInvoice"])

    assert (await credited(account, 1_000_000))["state"] == "active"


async def test_a_token_is_good_until_its_last_second(later):
    account = await Account.filled(later.shop)
    expires_at = rfc3339(later.clock.now_ms() + 60_000)
    child, _ = await account.child(expiresAt=expires_at)

    await later.clock.pass_time(59.999)
    before = await status(child)
    await later.clock.pass_time(0.001)
    after = await child.get("/sessions/me")

    assert before == 200
    assert (after.status, after.code) == (401, "unauthorized")


async def test_a_kept_answer_is_forgotten_after_a_day(later):
    account = await Account.filled(later.shop)
    fields, key = {"amountSats": 100}, {"Idempotency-Key": "k"}
    first = await account.post("/sessions/me/topup", fields, headers=key)
    await later.clock.pass_time(DAY_S - 1)
    again = await account.post("/sessions/me/topup", fields, headers=key)

    await later.clock.pass_time(1)
    anew = await account.post("/sessions/me/topup", fields, headers=key)

    assert again.body == first.body
    assert anew.status == 201
    assert anew.body != first.body
