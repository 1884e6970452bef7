"""The LNbits wallet against a simulated LNbits: orders, looks and the balance."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.values.errors import WalletUnavailable
from core.values.money import from_sats
from core.wallets.port import NotPaid, Paid, Unknown
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.lnbits_faults import CallName, Fault
from tests.wallets import contract
from tests.wallets.contract import World, listening, make
from tests.wallets.lnbits_world import (
    FAULTS,
    SWIFT,
    waiting_for_news,
    wallet_at,
    world_at,
)


@pytest.fixture
async def world(sim: SimulatedLnbits) -> AsyncIterator[World]:
    async with world_at(sim) as world:
        yield world


@pytest.mark.parametrize("version", ["1.5.6", "1.6.2"])
@pytest.mark.parametrize("fact", contract.FACTS, ids=contract.name_of)
async def test_the_contract_of_wallets(version, fact):
    async with SimulatedLnbits(version=version) as sim, world_at(sim, catch_up_s=2.0) as world:
        await fact(world)


# Orders


async def test_an_order_names_whole_satoshi_and_marks_the_payment(world, sim):
    await make(world, sats=21, expiry_s=600)

    (call,) = sim.calls_of("create")
    assert call.body == {
        "out": False,
        "unit": "sat",
        "amount": 21,
        "memo": "two eggs",
        "expiry": 600,
        "extra": {"kind": "test", "job": "job_1"},
    }
    assert type(call.body["amount"]) is int


async def test_a_long_memo_is_cut_between_characters(world, sim):
    await world.wallet.create_invoice(from_sats(1), memo="ü" * 640, expiry_s=60, extra={})

    assert sim.calls_of("create")[0].body["memo"] == "ü" * 319


@pytest.mark.parametrize("what", ["amount", "hash", "network", "expired"])
async def test_another_invoice_than_was_ordered_is_never_handed_out(world, sim, what):
    sim.fail("create", Fault(f"swapped_{what}"))

    with pytest.raises(WalletUnavailable, match="another invoice than was ordered"):
        await make(world)


@pytest.mark.parametrize(
    ("what", "named"),
    [("amount", "amount"), ("hash", "payment hash"), ("network", "network"), ("expired", "expiry")],
)
async def test_the_reason_names_the_one_thing_that_differs(world, sim, what, named):
    sim.fail("create", Fault(f"swapped_{what}"))

    with pytest.raises(WalletUnavailable) as caught:
        await make(world)

    assert caught.value.reason == f"LNbits made another invoice than was ordered: {named}"


async def test_an_invoice_of_another_network_than_configured_is_refused(sim):
    async with world_at(sim, network="regtest") as world:
        with pytest.raises(WalletUnavailable, match="network"):
            await make(world)


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_fault_while_ordering_makes_no_invoice_and_the_next_order_works(world, sim, kind):
    sim.fail("create", Fault(kind, seconds=5))

    with pytest.raises(WalletUnavailable):
        await make(world)
    made = await make(world)

    assert await world.wallet.look_up(made.payment_hash) == NotPaid()


async def test_an_lnbits_that_is_down_makes_no_invoice(world, sim):
    await sim.go_down()

    with pytest.raises(WalletUnavailable, match="cannot be reached"):
        await make(world)


async def test_what_lnbits_says_against_an_order_is_in_the_reason(world):
    with pytest.raises(WalletUnavailable, match="10000001 sats is too high"):
        await make(world, sats=10_000_001)


# Webhooks


async def test_a_webhook_is_ordered_where_lnbits_takes_it(sim):
    async with world_at(sim, webhook_url="https://shop.example/hook") as world:
        await make(world)

    (call,) = sim.calls_of("create")
    assert call.body["webhook"] == "https://shop.example/hook"


async def test_a_webhook_that_lnbits_refuses_costs_no_invoice_and_is_not_tried_again(sim, lines):
    async with world_at(sim, webhook_url="http://127.0.0.1:8402/hook") as world:
        await make(world)
        await make(world)

    assert [call.status for call in sim.calls_of("create")] == [400, 201, 201]
    assert "webhook" not in sim.calls_of("create")[2].body
    assert lines.of_level("warning") == [
        "lnbits refuses our webhook address; payments are heard without it"
    ]


async def test_a_webhook_is_kept_when_the_order_fails_without_it_too(sim):
    async with world_at(sim, webhook_url="http://127.0.0.1:8402/hook") as world:
        with pytest.raises(WalletUnavailable):
            await make(world, sats=10_000_001)
        await make(world)

    assert "webhook" in sim.calls_of("create")[2].body


# Looking up


@pytest.mark.parametrize("kind", [*FAULTS, "no_status"])
@pytest.mark.parametrize("is_paid", [False, True], ids=["unpaid", "paid"])
async def test_a_fault_proves_nothing_about_an_invoice(world, sim, kind, is_paid):
    made = await make(world)
    if is_paid:
        await sim.pay(made.payment_hash)
    sim.fail_always("status", Fault(kind, seconds=5))

    first = await world.wallet.look_up(made.payment_hash)
    sim.heal()
    second = await world.wallet.look_up(made.payment_hash)

    assert isinstance(first, Unknown)
    assert isinstance(second, Paid if is_paid else NotPaid)


async def test_an_lnbits_that_is_down_proves_nothing(world, sim):
    made = await make(world)
    await sim.go_down()

    assert isinstance(await world.wallet.look_up(made.payment_hash), Unknown)


@pytest.mark.parametrize("key", ["nobody's", "another wallet's"])
@pytest.mark.parametrize("version", ["1.5.6", "1.6.2"])
@pytest.mark.parametrize("is_paid", [False, True], ids=["unpaid", "paid"])
async def test_a_wrong_key_proves_nothing(version, key, is_paid):
    async with SimulatedLnbits(version=version) as sim, world_at(sim) as world:
        made = await make(world)
        if is_paid:
            await sim.settle(made.payment_hash)
        wrong = sim.books.buyer.invoice_key if key == "another wallet's" else "0" * 32
        async with wallet_at(sim, invoice_key=wrong) as stranger:
            assert isinstance(await stranger.look_up(made.payment_hash), Unknown)


async def test_an_expired_invoice_is_not_paid_and_may_be_paid_later(world, sim):
    made = await make(world, expiry_s=60)
    sim.books.clock_offset_s = 120

    before = await world.wallet.look_up(made.payment_hash)
    status_before = sim.books.incoming(made.payment_hash).status
    await sim.settle(made.payment_hash)
    after = await world.wallet.look_up(made.payment_hash)

    assert before == NotPaid()
    assert status_before == "failed"
    assert isinstance(after, Paid)


async def test_an_invoice_that_the_wallet_paid_itself_is_paid(world, sim):
    await sim.pay((await make(world, sats=100)).payment_hash)
    made = await make(world, sats=10)

    sim.books.pay(sim.books.shop, made.bolt11, {})

    answer = await world.wallet.look_up(made.payment_hash)
    assert isinstance(answer, Paid)
    assert answer.amount == from_sats(10)


async def test_a_payment_that_went_out_is_not_taken_for_one_that_came_in(world, sim):
    await sim.pay((await make(world, sats=100)).payment_hash)
    text = sim.books.foreign_invoice(10)

    outgoing = sim.books.pay(sim.books.shop, text, {})

    assert isinstance(await world.wallet.look_up(outgoing.payment_hash), Unknown)


async def test_the_preimage_of_an_unpaid_invoice_stays_unsaid():
    async with SimulatedLnbits(version="1.5.6") as sim, world_at(sim) as world:
        made = await make(world)

        assert await world.wallet.look_up(made.payment_hash) == NotPaid()


async def test_a_preimage_that_does_not_fit_is_not_passed_on(world, sim):
    made = await make(world)
    sim.books.incoming(made.payment_hash).preimage = "00" * 32
    await sim.pay(made.payment_hash)

    assert await world.wallet.look_up(made.payment_hash) == Paid(from_sats(21), None)


@pytest.mark.parametrize("text", ["", "..", "00" * 31, "AB" * 32, "../wallet?x=" + "0" * 52])
async def test_what_is_no_payment_hash_is_not_asked_for(world, sim, text):
    assert isinstance(await world.wallet.look_up(text), Unknown)
    assert sim.calls == []


async def test_many_who_ask_at_once_share_one_look(world, sim):
    made = await make(world)

    answers = await asyncio.gather(*(world.wallet.look_up(made.payment_hash) for _ in range(100)))

    assert answers == [NotPaid()] * 100
    assert len(sim.calls_of("status")) == 1


async def test_one_hash_is_looked_up_at_most_once_a_second(world, sim):
    made = await make(world)

    for _ in range(3):
        await world.wallet.look_up(made.payment_hash)

    first, second, third = (call.at_s * SWIFT for call in sim.calls_of("status"))
    assert second - first > 0.8
    assert third - second > 0.8


async def test_one_who_goes_away_takes_the_answer_from_nobody_else(world):
    made = await make(world)
    first = asyncio.create_task(world.wallet.look_up(made.payment_hash))
    second = asyncio.create_task(world.wallet.look_up(made.payment_hash))
    await asyncio.sleep(0)

    first.cancel()

    assert await second == NotPaid()


# The balance


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_fault_is_no_balance(world, sim, kind):
    sim.fail_always("wallet", Fault(kind, seconds=5))

    with pytest.raises(WalletUnavailable):
        await world.wallet.balance()


async def test_a_wrong_key_has_no_balance(sim):
    async with wallet_at(sim, invoice_key="0" * 32) as wallet:
        with pytest.raises(WalletUnavailable, match="Wallet not found"):
            await wallet.balance()


@pytest.mark.parametrize("call", ["create", "status", "list", "wallet"])
async def test_a_page_instead_of_an_answer_is_named_as_such(world, sim, call: CallName, lines):
    sim.fail_always(call, Fault("html"))
    made = sim.books.invoice(sim.books.shop, sats=1, memo="x", expiry_s=600, extra={}, webhook=None)
    reason = "LNbits answered 502 with something other than JSON"

    match call:
        case "create":
            with pytest.raises(WalletUnavailable, match=reason):
                await make(world)
        case "wallet":
            with pytest.raises(WalletUnavailable, match=reason):
                await world.wallet.balance()
        case "status":
            assert await world.wallet.look_up(made.payment_hash) == Unknown(reason)
        case _:
            async with listening(world) as heard, waiting_for_news(heard):
                await lines.reach(1)
            assert lines.entries[0]["reason"] == reason
