"""The reconciler: before money moves, and every hour, the wallet's list is compared."""

import asyncio
import secrets

import pytest

from core.books import ledger, settings
from core.books.ledger import OWNER
from core.loops.reconcile import COMPARED_TO
from core.values.errors import WalletUnavailable
from core.values.ids import new_id
from core.values.money import Msat, from_sats
from core.wallets.port import Movement
from tests.fakes import FakeWallet
from tests.hand_clock import START_MS, HandClock
from tests.world import ALICE, opened

HOUR_S = 3_600


def moved(direction="in", sats=100, *, at_ms=START_MS, payment_hash=None, **extra):
    name = payment_hash or secrets.token_hex(32)
    return Movement(direction, name, "lnbcrt1", from_sats(sats), Msat(0), at_ms, extra)


async def owner_of(world):
    return await world.store.read(ledger.house_balance, OWNER)


async def compared_to(world):
    return int(await world.store.read(settings.get, COMPARED_TO))


async def alarms_of(world):
    return [alarm.payment_hash for alarm in world.core.reconciler.alarms]


async def test_what_the_wallet_knows_is_booked_before_the_doors_open(database):
    clock = HandClock()
    wallet = FakeWallet(clock)
    session_id = new_id("ses")
    wallet.listed = [moved(kind="deposit", session=session_id), moved(sats=7)]
    wallet.holds_msat = 107_000

    async with opened(database, wallet=wallet, clock=clock) as world:
        account = await world.store.read(ledger.account, session_id)
        assert account.balance == from_sats(100)
        assert await owner_of(world) == from_sats(7)


async def test_no_money_moves_until_the_wallet_was_compared(database):
    clock = HandClock()
    wallet = FakeWallet(clock)
    wallet.is_down = True

    async with opened(database, wallet=wallet, clock=clock) as world:
        with pytest.raises(WalletUnavailable):
            world.core.gate.check_intake()
        with pytest.raises(WalletUnavailable):
            world.core.gate.check()
        wallet.is_down = False
        await world.pass_time(5)
        await asyncio.wait_for(world.core.reconciler.was_compared.wait(), 30)
        await world.order()


async def test_every_hour_the_wallet_is_compared_again(world):
    world.wallet.listed.append(moved(sats=7, at_ms=START_MS + 1))
    await world.pass_time(HOUR_S - 1)
    assert await owner_of(world) == 0

    await world.pass_time(1)

    assert await owner_of(world) == from_sats(7)
    assert await compared_to(world) == START_MS + HOUR_S * 1000


async def test_the_owners_ordinary_draw_raises_no_alarm(world):
    world.wallet.listed = [moved(sats=100), moved("out", 60)]
    world.wallet.holds_msat = 40_000

    await world.pass_time(HOUR_S)

    assert await owner_of(world) == from_sats(40)
    assert await alarms_of(world) == []


async def test_a_draw_of_the_customers_money_is_an_alarm_until_it_is_cleared_up(world):
    opened_session = await world.core.desk.sessions.open_session(100, client=ALICE)
    with world.bulletin.listen(opened_session.session.session_id) as news:
        world.wallet.pay(opened_session.deposit_invoice)
        assert await news.wait(30)
    draw = moved("out", 60, at_ms=START_MS + 1)
    world.wallet.listed, world.wallet.holds_msat = [draw], 40_000
    before_ms = await compared_to(world)

    await world.pass_time(HOUR_S)

    assert await alarms_of(world) == [draw.payment_hash]
    assert await compared_to(world) == before_ms
    world.wallet.holds_msat = 100_000  # the owner has paid it back in another way
    await world.pass_time(HOUR_S)
    assert await alarms_of(world) == []
    assert await owner_of(world) == -from_sats(60)


async def test_a_payment_that_the_wallet_no_longer_shows_is_an_alarm(world):
    job, _ = await world.order()
    world.wallet.pay(job.eval_invoice)
    await world.becomes(job.job_id, "evaluating")
    await world.pass_time(HOUR_S)
    assert await alarms_of(world) == []  # not listed, but shown to whoever asks after it
    other, _ = await world.order()
    world.wallet.pay(other.eval_invoice)
    await world.becomes(other.job_id, "evaluating")
    world.wallet.silent_about.add(other.eval_invoice.payment_hash)

    await world.pass_time(HOUR_S)

    assert await alarms_of(world) == [other.eval_invoice.payment_hash]
