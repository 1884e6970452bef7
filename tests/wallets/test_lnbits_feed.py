"""The LNbits wallet against a simulated LNbits: hearing of payments, and the budget of calls."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from core.values.errors import WalletUnavailable
from core.values.money import from_sats
from core.wallets.lnbits_feed import Hints
from core.wallets.port import NotPaid
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.lnbits_faults import Fault
from tests.wallets import contract
from tests.wallets.contract import World, caught_up, listening, make, of
from tests.wallets.lnbits_world import (
    FAULTS,
    SWIFT,
    first_of,
    ordered,
    pushed_to,
    settle_old_ones,
    until_caught_up,
    waiting_for_news,
    world_at,
)


@pytest.fixture
async def world(sim: SimulatedLnbits) -> AsyncIterator[World]:
    async with world_at(sim) as world:
        yield world


# Hearing of payments


async def test_a_push_is_heard_long_before_the_next_round(world, sim):
    made = await make(world)

    async with pushed_to(world, sim) as heard:
        await sim.pay(made.payment_hash)
        settlement = await of(made, heard)

    assert settlement.amount == from_sats(21)


@pytest.mark.parametrize("mode", ["refused", "silent"])
async def test_without_pushes_payments_are_heard_from_the_list(sim, mode):
    sim.socket_mode = mode
    async with world_at(sim, catch_up_s=2.0) as world:
        made = await make(world)
        async with listening(world) as heard:
            await caught_up(heard)
            await sim.pay(made.payment_hash)

            assert (await of(made, heard)).amount == from_sats(21)


async def test_what_was_missed_while_the_socket_was_down_is_heard_when_it_opens(world, sim):
    made = await make(world)

    async with pushed_to(world, sim) as heard:
        sim.socket_mode = "refused"
        await sim.cut_sockets()
        await sim.wait_for_calls("socket", 2)
        await sim.pay(made.payment_hash)
        sim.socket_mode = "open"

        assert (await of(made, heard)).amount == from_sats(21)


async def test_an_invoice_paid_long_after_it_was_made_is_heard_among_newer_ones(world, sim):
    old = await make(world)
    for _ in range(120):
        await sim.settle(ordered(sim))
    async with pushed_to(world, sim) as heard:
        await sim.pay(old.payment_hash)

        assert (await of(old, heard)).amount == from_sats(21)


async def test_a_late_payment_of_an_expired_invoice_is_heard(world, sim):
    made = await make(world, expiry_s=60)
    sim.books.clock_offset_s = 120
    assert await world.wallet.look_up(made.payment_hash) == NotPaid()

    async with pushed_to(world, sim) as heard:
        await sim.settle(made.payment_hash)

        assert (await of(made, heard)).amount == from_sats(21)


async def test_a_forged_push_is_looked_at_and_not_believed(world, sim):
    forged, paid = await make(world), await make(world)
    payment = sim.books.incoming(forged.payment_hash).as_json()

    async with pushed_to(world, sim) as heard:
        await sim.push(json.dumps({"payment": {**payment, "status": "success"}}))
        await sim.wait_for_calls("status", 1)
        await sim.pay(paid.payment_hash)
        settlement = await first_of(heard)

    assert settlement.payment_hash == paid.payment_hash


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"payment": {}}', '{"payment": 1}'])
async def test_a_push_that_cannot_be_read_changes_nothing(world, sim, text):
    made = await make(world)

    async with pushed_to(world, sim) as heard:
        await sim.push(text)
        await sim.pay(made.payment_hash)

        assert (await first_of(heard)).payment_hash == made.payment_hash


async def test_each_payment_is_told_once(sim):
    async with world_at(sim, catch_up_s=2.0) as world:
        made = [await make(world) for _ in range(3)]
        told: list[str] = []
        async with listening(world) as heard:
            await caught_up(heard)
            for invoice in made:
                await sim.pay(invoice.payment_hash)
            rounds = 0
            while rounds < 5:
                news = await anext(heard)
                rounds += news is None
                told += [news.payment_hash] if news else []

    assert sorted(told) == sorted(invoice.payment_hash for invoice in made)


async def test_payments_that_went_out_are_not_told(world, sim):
    made = await make(world, sats=100)
    await sim.pay(made.payment_hash)
    sim.books.pay(sim.books.shop, sim.books.foreign_invoice(10), {})

    async with listening(world) as heard:
        told = [news async for news in until_caught_up(heard)]

    assert [news.payment_hash for news in told] == [made.payment_hash]


async def test_a_long_absence_is_read_back_page_by_page(world, sim):
    hashes = {ordered(sim) for _ in range(1_250)}
    for payment_hash in hashes:
        await sim.settle(payment_hash)

    async with listening(world) as heard:
        told = [news.payment_hash async for news in until_caught_up(heard)]

    assert len(told) == len(hashes)
    assert set(told) == hashes


async def test_a_round_that_breaks_off_is_no_round_and_is_done_again(sim):
    hashes = {ordered(sim) for _ in range(150)}
    for payment_hash in hashes:
        await sim.settle(payment_hash)
    sim.fail("list", Fault("slow", seconds=0))
    sim.fail("list", Fault("html"))
    async with world_at(sim, catch_up_s=2.0) as world, listening(world) as heard:
        told = [news.payment_hash async for news in until_caught_up(heard)]

    assert set(told) == hashes
    assert [call.fault for call in sim.calls_of("list")[:4]] == ["slow", "html", None, None]


async def test_only_the_first_round_reads_the_whole_list(sim):
    await settle_old_ones(sim, 350)
    await sim.settle(ordered(sim))
    async with world_at(sim, catch_up_s=2.0) as world, listening(world) as heard:
        for _ in range(4):
            await caught_up(heard)

    pages = [call.path for call in sim.calls_of("list") if "status=success" in call.path]
    assert sum("offset=100&" in page for page in pages) == 1
    assert len(pages) >= 5


async def test_payments_are_heard_although_the_clock_of_lnbits_was_ahead_for_a_while(sim):
    sim.socket_mode = "silent"
    async with world_at(sim, catch_up_s=2.0) as world, listening(world) as heard:
        sim.books.clock_offset_s = 86_400
        await sim.settle(ordered(sim))
        await first_of(heard)
        await caught_up(heard)
        sim.books.clock_offset_s = 0
        missing = {ordered(sim) for _ in range(250)}  # more than the first page holds
        for payment_hash in missing:
            await sim.settle(payment_hash)
        while missing:
            missing.discard((await first_of(heard)).payment_hash)


async def test_the_first_round_reads_back_to_where_it_is_told(sim):
    await settle_old_ones(sim, 350)
    yesterday_ms = int((time.time() - 86_400) * 1000)
    async with world_at(sim, since_ms=yesterday_ms) as world, listening(world) as heard:
        await caught_up(heard)

    assert all("offset=0&" in call.path for call in sim.calls_of("list"))


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_fault_of_the_list_is_outlived(sim, kind, lines):
    sim.fail("list", Fault(kind, seconds=1), times=2)
    async with world_at(sim, catch_up_s=2.0) as world:
        made = await make(world)
        await sim.pay(made.payment_hash)
        async with listening(world) as heard:
            await of(made, heard)
            await caught_up(heard)

    assert lines.of_level("warning") == ["lnbits does not list payments"]
    assert "lnbits lists payments again" in lines.of_level("info")


async def test_an_lnbits_that_comes_and_goes_is_outlived(sim, lines):
    async with world_at(sim, catch_up_s=2.0) as world:
        made = await make(world)
        await sim.go_down()
        async with listening(world) as heard:
            async with waiting_for_news(heard) as first:
                await lines.reach(2)
                assert not first.done()
                await sim.come_up()
                assert await first is None
            await sim.pay(made.payment_hash)
            await of(made, heard)


async def test_an_outage_is_one_line_for_the_list_and_one_for_the_socket(sim, lines):
    async with world_at(sim, catch_up_s=2.0) as world, listening(world) as heard:
        sim.fail_everything(Fault("reset"))
        async with waiting_for_news(heard):
            await sim.wait_for_calls("list", 5)
            await sim.wait_for_calls("socket", 3)
            sim.heal()
            await lines.reach(4)

    assert sorted(lines.of_level("warning")) == [
        "lnbits does not list payments",
        "lnbits socket is down; payments are heard from the list",
    ]
    assert sorted(lines.of_level("info")) == [
        "lnbits lists payments again",
        "lnbits socket is open again",
    ]


@pytest.mark.parametrize("kind", FAULTS)
async def test_no_line_holds_the_key_or_the_address(sim, lines, kind):
    sim.fail_everything(Fault(kind, seconds=1))
    webhook_url = "http://127.0.0.1/hook-secret"
    async with world_at(sim, webhook_url=webhook_url, timeout_s=0.1) as world:
        async with listening(world) as heard, waiting_for_news(heard):
            await lines.reach(2)
        with pytest.raises(WalletUnavailable) as caught:
            await make(world)
        outcome = await world.wallet.look_up("00" * 32)

    text = f"{lines.entries} {caught.value.reason} {outcome}"
    assert sim.shop_key not in text
    assert "127.0.0.1" not in text
    assert "hook-secret" not in text


# Hints


async def test_a_hint_is_looked_up_at_once(world, sim):
    sim.socket_mode = "silent"
    made = await make(world)

    async with pushed_to(world, sim) as heard:
        await sim.pay(made.payment_hash)
        world.wallet.watch([made.payment_hash])

        assert (await of(made, heard)).extra["job"] == "job_1"


async def test_a_hint_is_looked_up_again_when_the_first_look_proves_nothing(world, sim):
    sim.socket_mode = "silent"
    made = await make(world)
    sim.fail("status", Fault("no_status"), times=2)

    async with pushed_to(world, sim) as heard:
        await sim.pay(made.payment_hash)
        world.wallet.watch([made.payment_hash])

        await of(made, heard)


async def test_a_hint_that_proves_nothing_is_dropped_after_three_looks(world, sim):
    async with pushed_to(world, sim):
        world.wallet.watch(["00" * 32])
        await sim.wait_for_calls("status", 3)
        last = await make(world)
        world.wallet.watch([last.payment_hash])
        await sim.wait_for_calls("status", 4)

    assert last.payment_hash in sim.calls_of("status")[3].path


async def test_hints_are_a_bounded_queue_without_repetitions():
    hints = Hints()
    hints.add(["a", "b", "a"])
    hints.add(str(number) for number in range(5_000))

    taken = [(await hints.next())[0] for _ in range(1_000)]
    one_more = asyncio.create_task(hints.next())
    await asyncio.sleep(0)

    assert taken[:3] == ["a", "b", "0"]
    assert len(set(taken)) == 1_000
    assert not one_more.done()
    one_more.cancel()


async def test_what_expires_soon_is_looked_at_once_before_it_does(world, sim):
    soon = await make(world, expiry_s=60)
    await make(world, expiry_s=900)

    async with listening(world) as heard:
        await caught_up(heard)
        await sim.wait_for_calls("list", 5)  # a round or two, and three pages of what is open

    (call,) = sim.calls_of("status")
    assert soon.payment_hash in call.path


# The budget


async def test_a_busy_shop_stays_below_150_calls_a_minute(sim):
    async with world_at(sim, catch_up_s=2.0, timeout_s=5.0) as world:
        began_s = time.monotonic()
        async with listening(world) as heard:
            for _ in range(60):
                made = await make(world)
                await sim.pay(made.payment_hash)
                world.wallet.watch([made.payment_hash])
                await of(made, heard)
        assert time.monotonic() - began_s < contract.PATIENCE_S

    at_s = [call.at_s * SWIFT for call in sim.calls]
    assert len(at_s) > 120
    assert max(sum(1 for at in at_s if start <= at < start + 60) for start in at_s) <= 150


async def test_a_storm_of_looks_does_not_keep_payments_from_being_heard(sim):
    sim.socket_mode = "silent"
    async with world_at(sim, catch_up_s=2.0, timeout_s=contract.PATIENCE_S) as world:
        made = await make(world)
        async with listening(world) as heard:
            await caught_up(heard)
            looks = asyncio.gather(
                *(world.wallet.look_up(f"{number:064x}") for number in range(300))
            )
            await sim.wait_for_calls("status", 20)
            await sim.pay(made.payment_hash)
            await of(made, heard)
            looked_meanwhile = len(sim.calls_of("status"))
        looks.cancel()

    assert looked_meanwhile < 100


async def test_the_limit_of_lnbits_is_respected_when_it_says_so(world, sim):
    made = await make(world)
    sim.fail("status", Fault("429", seconds=10))

    await world.wallet.look_up(made.payment_hash)
    await world.wallet.balance()

    (refused,), (next_one,) = sim.calls_of("status"), sim.calls_of("wallet")
    assert (next_one.at_s - refused.at_s) * SWIFT > 9
