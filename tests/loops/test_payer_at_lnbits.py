"""The payer at a simulated LNbits: whatever that answers, the books end as its journal."""

import pytest

from core.values.clock import SystemClock
from core.wallets.lnbits_http import LnbitsTurns
from core.wallets.lnbits_payer import LnbitsPayer
from tests.loops.payer_world import DAY_S, PayerWorld
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.lnbits_faults import Fault

# What the node does with the payment at first, and what is answered.
ANSWERS = {
    "timeout, taken": ("pending", Fault("late", 5)),
    "timeout, paid": ("success", Fault("late", 5)),
    "timeout, lost": ("success", Fault("slow", 5)),
    "201 success": ("success", None),
    "201 pending": ("pending", None),
    "201 failed": ("failed", Fault("said_201_failed")),
    "201 failed, paid": ("success", Fault("said_201_failed")),
    "520 success": ("success", Fault("said_520_success")),
    "520 success, pending": ("pending", Fault("said_520_success")),
    "520 failed": ("failed", None),
    "520 failed, paid": ("success", Fault("said_520_failed")),
    "500, taken": ("pending", Fault("said_500")),
    "500, lost": ("success", Fault("500")),
    "404, taken": ("pending", Fault("said_404")),
    "404, lost": ("success", Fault("404")),
    "reset, taken": ("pending", Fault("lost_reply")),
    "reset, paid": ("success", Fault("lost_reply")),
    "reset, lost": ("success", Fault("reset")),
}
LOST = {"timeout, lost", "500, lost", "404, lost", "reset, lost"}
AT_FIRST = {name: None if name in LOST else status for name, (status, _) in ANSWERS.items()}


@pytest.fixture
async def sim():
    async with SimulatedLnbits() as sim:
        sim.books.shop.credit_msat = 10**9
        yield sim


@pytest.fixture
async def world(store, sim):
    world = PayerWorld(store)
    turns = LnbitsTurns(clock=SystemClock(), requests_per_minute=60_000)
    key = sim.books.shop.admin_key
    payer = LnbitsPayer(url=sim.url, admin_key=key, turns=turns, timeout_s=0.3)
    world.loop = world.new_loop(payer=payer)
    yield world
    await payer.aclose()


async def send(world, sim, answer):
    """Send a debt to an invoice abroad, answered like this; the refund, and the hash."""
    at_node, fault = ANSWERS[answer]
    refund = await world.due()
    sim.books.outcome_abroad = at_node
    if fault:
        sim.fail("pay", fault)
    target = world.target(refund.amount, sim.books.foreign_invoice(refund.amount // 1000))
    payment_hash = await world.start_to(refund, target)
    await world.serve()
    return refund, payment_hash


def decide(sim, payment_hash, status):
    """The node ends what is pending or failed like this."""
    payment = sim.books.outgoing(payment_hash)
    if payment is not None and payment.status not in {"success", status}:
        sim.books.finish(payment_hash, status)


# How the refund stands at last, by how the record stood at first.
LATER = {
    "success": {None: "unknown", "pending": "paid", "failed": "paid", "success": "paid"},
    "failed": {None: "unknown", "pending": "due", "failed": "due", "success": "paid"},
    "pending": {None: "unknown", "pending": "unknown", "failed": "unknown", "success": "paid"},
}


@pytest.mark.parametrize("later", LATER)
async def test_whatever_lnbits_answers_the_books_end_as_its_journal(world, sim, later):
    sent = {answer: await send(world, sim, answer) for answer in ANSWERS}

    for _, payment_hash in sent.values():
        decide(sim, payment_hash, later)
    for seconds in (60, 700, 3_600, DAY_S, 700):
        await world.serve_after(seconds)

    states = {answer: await world.state_of(refund) for answer, (refund, _) in sent.items()}
    assert states == {answer: LATER[later][AT_FIRST[answer]] for answer in ANSWERS}
    for answer, (_, payment_hash) in sent.items():
        assert len(sim.books.outflows_msat(payment_hash)) == (states[answer] == "paid")


async def test_what_lnbits_believes_to_have_failed_and_its_node_has_paid_is_not_paid_again(
    world, sim
):
    refund, payment_hash = await send(world, sim, "520 failed")
    sim.books.pay_at_node(payment_hash)

    for seconds in (60, 700, 3_600, DAY_S, 700):
        await world.serve_after(seconds)

    assert await world.state_of(refund) == "paid"
    assert sim.books.outflows_msat(payment_hash) == [56_000]


async def test_while_lnbits_has_lost_its_voice_nothing_is_sent_or_given_up(world, sim):
    refund, payment_hash = await send(world, sim, "timeout, paid")
    sim.fail_everything(Fault("html"))
    for seconds in (60, 700, 3_600, DAY_S, 700):
        await world.serve_after(seconds)
    before = await world.state_of(refund)

    sim.heal()
    await world.serve_after(700)

    assert (before, await world.state_of(refund)) == ("unknown", "paid")
    assert sim.books.outflows_msat(payment_hash) == [56_000]


async def test_what_got_lost_on_the_way_is_paid_after_the_next_start(world, sim):
    refund, payment_hash = await send(world, sim, "reset, lost")
    assert await world.state_of(refund) == "unknown"

    world.loop = world.new_loop(payer=world.loop.payer)
    await world.serve_after(60)

    assert await world.state_of(refund) == "paid"
    assert sim.books.outflows_msat(payment_hash) == [56_000]


async def test_payouts_at_once_that_one_of_them_leaves_no_money_for_are_sent_later(world, sim):
    """The wallet was asked before each of them, and had enough for any one."""
    sim.books.shop.credit_msat = 60_000
    owed = [await world.due() for _ in range(3)]
    for refund in owed:
        text = sim.books.foreign_invoice(refund.amount // 1000)
        await world.start_to(refund, world.target(refund.amount, text))
    await world.serve()
    states = sorted([await world.state_of(refund) for refund in owed])

    await world.serve_after(15)

    assert states == ["paid", "sending", "sending"]
    assert sorted([await world.state_of(refund) for refund in owed]) == ["due", "due", "paid"]
