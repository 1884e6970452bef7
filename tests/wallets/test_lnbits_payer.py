"""Paying out through LNbits: what each answer proves, and that each invoice is paid once."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core.values import bolt11
from core.values.clock import SystemClock
from core.values.errors import WalletUnavailable
from core.values.money import Msat, from_sats
from core.wallets.lnbits_http import LnbitsTurns
from core.wallets.lnbits_payer import LnbitsPayer
from core.wallets.port import Failed, Missing, NotBegun, Sent, Unproven
from tests.hand_clock import HandClock
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.lnbits_faults import Fault

EXTRA = {"kind": "payout", "refund": "rfd_1"}
SHOP_MSAT = 1_000_000
FEE = Msat(1_000)  # what the simulated node takes
TIMEOUT_S = 0.3

# How the pay call is answered: what the node does with the payment, and what comes instead of or
# as the answer.
ANSWERS = {
    "timeout, taken": ("pending", Fault("late", 5)),
    "timeout, paid": ("success", Fault("late", 5)),
    "timeout, lost": ("success", Fault("slow", 5)),
    "201 success": ("success", None),
    "201 pending": ("pending", None),
    "201 pending, paid": ("success", Fault("said_201_pending")),
    "201 failed": ("failed", Fault("said_201_failed")),
    "201 failed, paid": ("success", Fault("said_201_failed")),
    "520 success": ("success", Fault("said_520_success")),
    "520 success, pending": ("pending", Fault("said_520_success")),
    "520 pending": ("pending", Fault("said_520_pending")),
    "520 failed": ("failed", None),
    "520 failed, paid": ("success", Fault("said_520_failed")),
    "500, taken": ("pending", Fault("said_500")),
    "500, lost": ("success", Fault("500")),
    "404, taken": ("pending", Fault("said_404")),
    "404, lost": ("success", Fault("404")),
    "reset, taken": ("pending", Fault("lost_reply")),
    "reset, paid": ("success", Fault("lost_reply")),
    "reset, lost": ("success", Fault("reset")),
    "HTML": ("success", Fault("html")),
    "half of the JSON": ("success", Fault("truncated")),
}
# What the call proves by itself, with the look at the record that some answers need.
SAYS = {
    "201 success": Sent,
    "201 pending, paid": Sent,
    "201 failed": Failed,
    "201 failed, paid": Sent,
    "520 success": Sent,
    "520 failed": Failed,
    "520 failed, paid": Sent,
    "500, lost": Missing,
    "404, lost": Missing,
}
LOST = {"timeout, lost", "500, lost", "404, lost", "reset, lost", "HTML"}
AT_FIRST = {name: None if name in LOST else status for name, (status, _) in ANSWERS.items()}

LATER = ("success", "failed", "pending", "not found", "not asked", "failed, then success")


@asynccontextmanager
async def payer_at(sim, *, key=None, clock=None, per_minute=6_000) -> AsyncIterator[LnbitsPayer]:
    turns = LnbitsTurns(clock=clock or SystemClock(), requests_per_minute=per_minute)
    admin_key = key or sim.books.shop.admin_key
    payer = LnbitsPayer(url=sim.url, admin_key=admin_key, turns=turns, timeout_s=TIMEOUT_S)
    try:
        yield payer
    finally:
        await payer.aclose()


@pytest.fixture
async def payer(sim):
    sim.books.shop.credit_msat = SHOP_MSAT
    async with payer_at(sim) as payer:
        yield payer


def hash_of(text):
    return bolt11.decode(text).payment_hash


async def pay(payer, text):
    return await payer.pay(text, extra=EXTRA)


def opens(outcome, text):
    return hashlib.sha256(bytes.fromhex(outcome.preimage)).hexdigest() == hash_of(text)


# The lattice


@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize("answer", ANSWERS)
async def test_each_answer_and_each_later_status(payer, sim, answer, later):
    at_node, fault = ANSWERS[answer]
    text = sim.books.foreign_invoice(100)
    sim.books.outcome_abroad = at_node
    if fault:
        sim.fail("pay", fault)

    said = await pay(payer, text)
    for status in later.split(", then "):
        stands = stand(sim, text, status)
    found = await payer.outcome(hash_of(text))

    assert type(said) is SAYS.get(answer, Unproven)
    assert type(found) is shown_of(stands, later)
    assert sim.books.outflows_msat(hash_of(text)) == ([101_000] if stands == "success" else [])
    for outcome in (said, found):
        assert not isinstance(outcome, Sent) or (outcome.fee == FEE and opens(outcome, text))


def stand(sim, text, status):
    """Let the record stand so, if there is one and the money has not left; how it stands."""
    if status == "not found":
        sim.fail_always("status", Fault("404"))
    if status == "not asked":
        sim.fail_always("status", Fault("no_status"))
    payment = sim.books.outgoing(hash_of(text))
    if payment is None:
        return None
    if status in {"success", "failed", "pending"} and payment.status not in {"success", status}:
        sim.books.finish(hash_of(text), status)
    return payment.status


def shown_of(stands, later):
    if later == "not asked":
        return Unproven
    if later == "not found" or stands is None:
        return Missing
    return {"success": Sent, "failed": Failed, "pending": Unproven}[stands]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_whatever_was_answered_paying_again_pays_at_most_once(payer, sim, answer):
    at_node, fault = ANSWERS[answer]
    text = sim.books.foreign_invoice(100)
    sim.books.outcome_abroad = at_node
    if fault:
        sim.fail("pay", fault)
    await pay(payer, text)
    sim.books.outcome_abroad = "success"

    again = [await pay(payer, text) for _ in range(3)]

    paid = answer in LOST or at_node == "success"
    assert sim.books.outflows_msat(hash_of(text)) == ([101_000] if paid else [])
    expected = {None: Sent, "success": Sent, "failed": Failed, "pending": Unproven}
    assert {type(outcome) for outcome in again} == {expected[AT_FIRST[answer]]}


async def test_twenty_calls_at_once_pay_once(payer, sim):
    text = sim.books.foreign_invoice(100)

    outcomes = await asyncio.gather(*(pay(payer, text) for _ in range(20)))

    assert {type(outcome) for outcome in outcomes} == {Sent}
    assert sim.books.outflows_msat(hash_of(text)) == [101_000]


# What is sent, and what is believed of it


async def test_a_payment_is_marked_with_what_it_is_for(payer, sim):
    text = sim.books.foreign_invoice(100)

    await pay(payer, text)

    [call] = sim.calls_of("pay")
    assert call.body == {"out": True, "bolt11": text, "extra": EXTRA}
    assert sim.books.outgoing(hash_of(text)).extra == EXTRA
    assert {call.key for call in sim.calls} == {sim.books.shop.admin_key}


async def test_a_payment_that_was_made_long_ago_is_sent(payer, sim):
    text = sim.books.foreign_invoice(100)
    first = await pay(payer, text)

    assert await pay(payer, text) == first
    assert await payer.outcome(hash_of(text)) == first


async def test_an_invoice_of_the_same_lnbits_costs_no_fee(payer, sim):
    made = sim.books.invoice(
        sim.books.buyer, sats=50, memo="x", expiry_s=600, extra={}, webhook=None
    )

    outcomes = [await pay(payer, made.bolt11) for _ in range(2)]

    assert {(type(outcome), outcome.fee) for outcome in outcomes} == {(Sent, 0)}
    assert sim.books.outflows_msat(made.payment_hash) == [50_000]


async def test_an_answer_about_another_payment_is_not_believed(payer, sim):
    sim.fail("pay", Fault("swapped_hash"))
    sim.fail_always("status", Fault("no_status"))

    assert isinstance(await pay(payer, sim.books.foreign_invoice(100)), Unproven)


async def test_the_preimage_of_another_payment_is_not_passed_on(payer, sim):
    text = sim.books.foreign_invoice(100)
    await pay(payer, text)
    sim.books.outgoing(hash_of(text)).preimage = secrets.token_hex(32)

    assert await payer.outcome(hash_of(text)) == Sent(FEE, None)


@pytest.mark.parametrize("is_paid", [False, True])
async def test_an_incoming_payment_is_no_outgoing_one(payer, sim, is_paid):
    shop = sim.books.shop
    made = sim.books.invoice(shop, sats=5, memo="x", expiry_s=600, extra={}, webhook=None)
    if is_paid:
        await sim.settle(made.payment_hash)

    assert isinstance(await payer.outcome(made.payment_hash), Unproven)


async def test_what_another_wallet_paid_is_not_ours(payer, sim):
    text = sim.books.foreign_invoice(100)
    sim.books.pay(sim.books.buyer, text, {})

    assert isinstance(await pay(payer, text), Missing)
    assert isinstance(await payer.outcome(hash_of(text)), Missing)


async def test_a_failed_payment_of_another_wallet_is_not_ours(payer, sim):
    text = sim.books.foreign_invoice(100)
    sim.books.outcome_abroad = "failed"
    async with payer_at(sim, key=sim.books.buyer.admin_key) as other:
        assert isinstance(await pay(other, text), Failed)

    assert isinstance(await pay(payer, text), Missing)


@pytest.mark.parametrize("version", ["1.5.6", "1.6.2"])
async def test_what_only_the_node_knows_is_found_by_paying_again(version):
    async with SimulatedLnbits(version=version) as sim:
        sim.books.shop.credit_msat = SHOP_MSAT
        sim.books.outcome_abroad = "failed"
        text = sim.books.foreign_invoice(100)
        async with payer_at(sim) as payer:
            await pay(payer, text)
            sim.books.pay_at_node(hash_of(text))
            before = await payer.outcome(hash_of(text))

            again = await pay(payer, text)

            assert isinstance(before, Failed)
            assert isinstance(again, Sent)
            assert await payer.outcome(hash_of(text)) == again
            assert sim.books.outflows_msat(hash_of(text)) == [101_000]


# Calls that prove to be void


async def test_without_enough_money_nothing_is_begun(payer, sim):
    text = sim.books.foreign_invoice(1_001)

    assert isinstance(await pay(payer, text), NotBegun)
    assert isinstance(await payer.outcome(hash_of(text)), Missing)


async def test_without_the_reserve_nothing_is_begun(payer, sim):
    assert isinstance(await pay(payer, sim.books.foreign_invoice(999)), NotBegun)


async def test_without_the_money_for_it_a_failure_is_not_confirmed(payer, sim):
    text = sim.books.foreign_invoice(900)
    sim.books.outcome_abroad = "failed"
    assert isinstance(await pay(payer, text), Failed)
    sim.books.shop.credit_msat = 0

    assert isinstance(await pay(payer, text), Unproven)


async def test_without_money_left_what_was_paid_is_still_found(payer, sim):
    text = sim.books.foreign_invoice(900)
    first = await pay(payer, text)

    assert await pay(payer, text) == first


async def test_with_the_invoice_key_nothing_is_begun(sim):
    async with payer_at(sim, key=sim.shop_key) as poor:
        assert isinstance(await pay(poor, sim.books.foreign_invoice(10)), NotBegun)


async def test_a_refusal_with_a_record_that_cannot_be_seen_proves_nothing(payer, sim):
    sim.fail_always("status", Fault("500"))

    assert isinstance(await pay(payer, sim.books.foreign_invoice(1_001)), Unproven)


async def test_what_is_refused_as_too_often_is_not_begun(payer, sim):
    text = sim.books.foreign_invoice(10)
    sim.fail("pay", Fault("429"))

    assert isinstance(await pay(payer, text), NotBegun)
    assert sim.books.outgoing(hash_of(text)) is None


async def test_where_nobody_listens_nothing_is_begun(payer, sim):
    text = sim.books.foreign_invoice(10)
    await sim.go_down()

    assert isinstance(await pay(payer, text), NotBegun)
    assert isinstance(await payer.outcome(hash_of(text)), Unproven)


async def test_a_call_that_gets_no_turn_is_not_begun(sim):
    text = sim.books.foreign_invoice(10)
    async with payer_at(sim, clock=HandClock(), per_minute=10) as payer:
        await payer.balance()
        await payer.balance()

        assert isinstance(await pay(payer, text), NotBegun)
    assert sim.calls_of("pay") == []


async def test_a_call_has_its_whole_time_out_after_its_turn(sim):
    """A turn that came late must not make an unknown outcome out of a quick answer."""
    sim.books.shop.credit_msat = SHOP_MSAT
    clock = HandClock()
    async with payer_at(sim, clock=clock, per_minute=10) as payer:
        await payer.balance()
        await payer.balance()
        paying = asyncio.create_task(pay(payer, sim.books.foreign_invoice(10)))
        await clock.rest(1)
        began_s = time.monotonic()
        sim.fail("pay", Fault("late"))
        clock.advance(60)

        assert isinstance(await paying, Sent)
        assert time.monotonic() - began_s < TIMEOUT_S


# Keys


@pytest.mark.parametrize("key", ["0" * 32, "the buyer's"])
async def test_with_another_key_nothing_is_known_of_our_payment(payer, sim, key):
    text = sim.books.foreign_invoice(10)
    await pay(payer, text)
    wrong = sim.books.buyer.admin_key if key == "the buyer's" else key

    async with payer_at(sim, key=wrong) as stranger:
        found = await stranger.outcome(hash_of(text))

    # A key that LNbits knows is that of a wallet which indeed has no such payment.
    assert type(found) is (Missing if key == "the buyer's" else Unproven)


async def test_an_unknown_key_does_not_make_a_payment_missing(sim):
    async with payer_at(sim, key="0" * 32) as stranger:
        assert isinstance(await stranger.outcome("ab" * 32), Unproven)


# Reserve and balance


async def test_the_reserve_is_what_lnbits_sets_aside(payer, sim):
    assert await payer.fee_reserve(sim.books.foreign_invoice(10)) == Msat(2_000)

    sim.books.reserve_percent = 50

    assert await payer.fee_reserve(sim.books.foreign_invoice(10)) == Msat(5_000)


async def test_the_balance_is_the_wallet_s(payer, sim):
    await pay(payer, sim.books.foreign_invoice(100))

    assert await payer.balance() == from_sats(1_000 - 100) - FEE


@pytest.mark.parametrize("kind", ["reset", "slow", "429", "500", "html", "truncated", "404"])
async def test_without_an_answer_there_is_no_reserve_and_no_balance(payer, sim, kind):
    sim.fail_everything(Fault(kind, seconds=5 if kind == "slow" else 0))

    for question in (payer.fee_reserve(sim.books.foreign_invoice(10)), payer.balance()):
        with pytest.raises(WalletUnavailable):
            await question


async def test_a_reserve_below_nothing_is_not_believed(payer, sim):
    sim.books.reserve_min_msat = sim.books.reserve_percent = -1

    with pytest.raises(WalletUnavailable):
        await payer.fee_reserve(sim.books.foreign_invoice(10))


async def test_the_key_is_never_told(payer, sim):
    await sim.go_down()

    outcome = await pay(payer, sim.books.foreign_invoice(10))

    assert sim.books.shop.admin_key not in outcome.reason
