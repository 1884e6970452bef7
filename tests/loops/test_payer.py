"""The payer: every way a payout can end, at most one outflow each, killed at every step."""

import asyncio
from contextlib import suppress

import pytest

from core.books import ledger, payouts, refunds
from core.books.refunds import Debt
from core.loops.due import LOOK_S
from core.values.errors import InvalidRequest, WrongState
from core.values.money import Msat, from_sats
from core.wallets.port import Failed, Missing, NotBegun, Sent, Unproven
from tests.loops.fake_payer import Ending
from tests.loops.payer_world import DAY_S, RULE, Killed, Mortal, PayerWorld

NOTHING_HEARD = Unproven("nothing, says the test")

# What the wallet does with the call, and what we hear. Where HTTP is spoken, 500 and 404 and a cut
# connection come from a wallet that took the call and from one that did not.
ENDINGS = {
    "timeout, taken": Ending("pending", NOTHING_HEARD),
    "timeout, lost": Ending(None, NOTHING_HEARD),
    "201 success": Ending("success", Sent(Msat(1_000), None)),
    "201 pending": Ending("pending", NOTHING_HEARD),
    "201 failed": Ending("failed", Failed("201")),
    "520 success": Ending("success", None),
    "520 failed": Ending("failed", Failed("520")),
    "520 failed, without a record": Ending(None, Missing("520")),
    "500, taken": Ending("pending", NOTHING_HEARD),
    "500, lost": Ending(None, NOTHING_HEARD),
    "404, taken": Ending("pending", NOTHING_HEARD),
    "404, lost": Ending(None, NOTHING_HEARD),
    "reset, taken": Ending("pending", NOTHING_HEARD),
    "reset, lost": Ending(None, NOTHING_HEARD),
}
MADE_AT_ONCE = {"201 success", "520 success"}

# What the wallet shows at the looks of the first minutes, then at those of the next day, and how
# the refund must stand at last: as the wallet's journal, or unknown where nothing is proven.
LATER = {
    "success": ("success", "success", "paid"),
    "failed": ("failed", "failed", "due"),
    "pending": ("pending", "pending", "unknown"),
    "not found": ("not found", "not found", "unknown"),
    "pending, then success": ("pending", "success", "paid"),
    "pending, then failed": ("pending", "failed", "due"),
    "failed, then success": ("failed", "success", "paid"),
    "failed, then not found": ("failed", "not found", "unknown"),
    "not found, then success": ("not found", "success", "paid"),
    "not found, then failed": ("not found", "failed", "due"),
}


@pytest.fixture
def world(store):
    return PayerWorld(store)


def show(world, payment_hash, status):
    """From now on the wallet shows this payment so."""
    world.payer.hidden.discard(payment_hash)
    if status == "not found":
        world.payer.hidden.add(payment_hash)
    else:
        world.payer.turn(payment_hash, status)


async def is_refused(world, refund):
    """Offer another destination for the money of this refund; whether it was refused."""
    current = await world.store.read(refunds.get, refund.refund_id)
    try:
        await world.start(current)
    except WrongState:
        return True
    return False


async def live_through_a_day(world, hashes, first, then):
    for payment_hash in hashes:
        show(world, payment_hash, first)
    for seconds in (15, 700):
        await world.serve_after(seconds)
    for payment_hash in hashes:
        show(world, payment_hash, then)
    for seconds in (3_600, DAY_S, 700):
        await world.serve_after(seconds)


@pytest.mark.parametrize("offers_another", [False, True], ids=["alone", "another is offered"])
@pytest.mark.parametrize("later", LATER)
async def test_each_ending_and_what_is_shown_later(world, later, offers_another):
    first, then, at_last = LATER[later]
    owed = dict(zip(ENDINGS, await asyncio.gather(*(world.due() for _ in ENDINGS)), strict=True))
    started = (world.start(owed[name], ending) for name, ending in ENDINGS.items())
    hashes = dict(zip(ENDINGS, await asyncio.gather(*started), strict=True))
    await world.serve()
    early = {name: await world.state_of(refund) for name, refund in owed.items()}
    if offers_another:
        assert all(await asyncio.gather(*(is_refused(world, each) for each in owed.values())))

    await live_through_a_day(
        world, [hashes[name] for name in ENDINGS if name not in MADE_AT_ONCE], first, then
    )

    seen = {name: await world.state_of(refund) for name, refund in owed.items()}
    assert early == {name: "paid" if name in MADE_AT_ONCE else "unknown" for name in ENDINGS}
    assert seen == {name: "paid" if name in MADE_AT_ONCE else at_last for name in ENDINGS}
    for name, payment_hash in hashes.items():
        assert world.payer.outflows.count(payment_hash) == (seen[name] == "paid")
    if offers_another:
        for name, refund in owed.items():
            assert await is_refused(world, refund) == (seen[name] != "due")
    await world.serve()
    await world.check_books()


# Killed between any two steps

AFTER_A_KILL = {
    # What the wallet does with the first call, what it shows at last, and the end of it. The
    # wallet that has no record is offered the invoice again, and then pays it.
    "taken, then success": (Ending("pending", NOTHING_HEARD), "success", "paid"),
    "taken, then failed": (Ending("pending", NOTHING_HEARD), "failed", "due"),
    "paid at once": (Ending("success", None), "success", "paid"),
    "failed at once": (Ending("failed", None), "failed", "due"),
}


async def killed_at(world, step):
    """A payer that died at this step; None where it came to its end before."""
    mortal = Mortal(world.store, world.payer, dies_at=step)
    with suppress(Killed):
        await world.new_loop(store=mortal, payer=mortal).serve_due()
    return mortal if mortal.has_died else None


@pytest.mark.parametrize("case", AFTER_A_KILL)
async def test_killed_at_any_step_it_ends_as_the_wallet_says(world, case):
    ending, at_last, expected = AFTER_A_KILL[case]
    ends, step = [], 1
    while True:
        refund = await world.due()
        payment_hash = await world.start(refund, ending)
        mortal = await killed_at(world, step)
        if mortal is None:
            break
        world.loop = world.new_loop()
        await world.serve_taken()
        show(world, payment_hash, at_last)
        for seconds in (60, 700, 3_600, DAY_S, 700):
            await world.serve_after(seconds)
        ends.append(await world.state_of(refund))
        assert world.payer.outflows.count(payment_hash) == (expected == "paid")
        await world.check_books()
        step += 1

    assert len(ends) == 10  # before and after: taking, reserve, beginning, paying, booking
    assert set(ends) == {expected}


async def test_killed_twice_it_still_pays_once(world):
    for first in range(1, 9):
        for second in range(1, 9):
            refund = await world.due()
            payment_hash = await world.start(refund)
            for step in (first, second):
                await killed_at(world, step)
                world.clock.advance(61)
            world.loop = world.new_loop()
            await world.serve_taken()

            assert await world.state_of(refund) == "paid"
            assert world.payer.outflows.count(payment_hash) == 1
    await world.check_books()


async def test_what_a_dead_process_began_in_vain_is_offered_again_once(world):
    refund = await world.due()
    payment_hash = await world.start(refund, Ending(None, NOTHING_HEARD), Ending(None, Missing("")))
    await world.serve()

    world.loop = world.new_loop()
    for _ in range(5):
        await world.serve_after(60)

    assert [called for called, _ in world.payer.paid_calls] == [payment_hash] * 2
    assert await world.state_of(refund) == "unknown"


async def test_a_living_process_never_offers_an_invoice_again_that_may_be_lost(world):
    refund = await world.due()
    await world.start(refund, Ending(None, NOTHING_HEARD))
    await world.serve()

    for _ in range(20):
        await world.serve_after(60)

    assert len(world.payer.paid_calls) == 1
    assert await world.state_of(refund) == "unknown"


async def test_what_another_process_that_lives_has_begun_is_only_looked_at(world):
    refund = await world.due()
    await world.start(refund, Ending(None, NOTHING_HEARD))
    await world.serve()

    neighbour = world.new_loop()
    for _ in range(5):
        world.clock.advance(60)
        await world.see(world.loop)
        await world.serve(neighbour)

    assert len(world.payer.paid_calls) == 1
    assert len(world.payer.looks) == 5


async def test_an_expired_invoice_is_not_offered_again(world):
    refund = await world.due()
    await world.start(refund, Ending(None, NOTHING_HEARD))
    await world.serve()
    world.clock.advance(3_601)

    world.loop = world.new_loop()
    await world.serve()

    assert len(world.payer.paid_calls) == 1
    assert await world.state_of(refund) == "unknown"


# What is sent, and what is not


async def test_the_payment_is_marked_with_its_refund_and_its_account(world):
    refund = await world.due()
    payment_hash = await world.start(refund)
    await world.serve()
    session_id = await world.books.session_of(await world.books.fill())
    await world.withdraw(session_id, 100)
    await world.serve()

    [job_call, session_call] = world.payer.paid_calls
    [withdrawal] = await world.store.read(refunds.of_account, session_id)
    ids = {"kind": "payout", "refund": refund.refund_id, "job": refund.account_id}
    assert job_call == (payment_hash, ids)
    assert session_call[1] == {
        "kind": "payout",
        "refund": withdrawal.refund_id,
        "session": session_id,
    }


async def test_above_the_fee_cap_nothing_is_sent(world):
    refund = await world.due()
    await world.start(refund)
    world.payer.reserve_msat = 5_001

    await world.serve()

    assert world.payer.paid_calls == []
    assert await world.state_of(refund) == "due"
    await world.check_books()


async def test_without_the_money_for_amount_and_reserve_nothing_is_sent(world):
    refund = await world.due()
    await world.start(refund)
    world.payer.funds_msat = refund.amount + world.payer.reserve_msat - 1

    await world.serve()

    assert world.payer.paid_calls == []
    assert await world.state_of(refund) == "due"


async def test_an_expired_invoice_is_not_sent(world):
    refund = await world.due()
    await world.start(refund)

    await world.serve_after(3_600)

    assert world.payer.paid_calls == []
    assert await world.state_of(refund) == "due"


async def test_a_payout_waits_for_a_wallet_that_is_down(world):
    refund = await world.due()
    await world.start(refund)
    world.payer.is_down = True
    await world.serve()
    before = await world.state_of(refund)

    world.payer.is_down = False
    await world.serve_after(15)

    assert (before, await world.state_of(refund)) == ("sending", "paid")


async def test_a_call_that_proves_to_be_void_is_made_again(world):
    refund = await world.due()
    payment_hash = await world.start(refund, *[Ending(None, NotBegun("429"))] * 3)
    await world.serve()
    before = await world.state_of(refund)

    for _ in range(3):
        await world.serve_after(15)

    assert (before, await world.state_of(refund)) == ("sending", "paid")
    assert world.payer.outflows == [payment_hash]
    await world.check_books()


async def test_a_void_call_proves_nothing_about_one_before_it(world):
    refund = await world.due()
    await world.start(refund, Ending(None, NOTHING_HEARD), Ending(None, NotBegun("429")))
    await world.serve()

    world.loop = world.new_loop()
    await world.serve_after(60)

    assert len(world.payer.paid_calls) == 2
    assert await world.state_of(refund) == "unknown"
    assert await is_refused(world, refund)


async def test_what_the_node_knows_better_is_asked_for_before_a_failure_counts(world):
    refund = await world.due()
    payment_hash = await world.start(refund, Ending("failed", None))
    world.payer.known_better.add(payment_hash)

    await live_through_a_day(world, [], "failed", "failed")

    assert await world.state_of(refund) == "paid"
    assert world.payer.outflows == [payment_hash]
    await world.check_books()


@pytest.mark.parametrize("answer", [NotBegun("429"), NOTHING_HEARD, Missing("")])
async def test_a_failure_does_not_count_while_the_wallet_does_not_say_so_again(world, answer):
    refund = await world.due()
    payment_hash = await world.start(refund, Ending("failed", None), Ending("failed", answer))
    world.payer.forgetful.add(payment_hash)

    await live_through_a_day(world, [], "failed", "failed")

    assert len(world.payer.paid_calls) == 2
    assert await world.state_of(refund) == "unknown"


async def test_a_fault_of_the_wallet_between_two_looks_is_no_second_look(world):
    refund = await world.due()
    payment_hash = await world.start(refund, Ending("failed", None))
    await world.serve()
    await world.serve_after(3_600 + DAY_S - 60)
    show(world, payment_hash, "pending")
    await world.serve_after(700)

    show(world, payment_hash, "failed")
    await world.serve_after(700)
    after_one = await world.state_of(refund)
    await world.hurry()
    await world.serve_after(599)
    still_too_near = await world.state_of(refund)
    await world.hurry()
    await world.serve_after(1)

    assert (after_one, still_too_near) == ("unknown", "unknown")
    assert await world.state_of(refund) == "due"


async def test_looks_become_rare(world):
    await world.start(await world.due(), Ending("pending", NOTHING_HEARD))
    await world.serve()

    for _ in range(24 * 60):
        await world.serve_after(60)

    assert 140 <= len(world.payer.looks) <= 200


# Two processes, and many payouts at once


async def test_a_slow_process_takes_nothing_back_that_another_has_begun(world):
    refund = await world.due()
    await world.start(refund, Ending("pending", NOTHING_HEARD))
    slow = Paused(world.payer, "balance")
    sleeper = asyncio.create_task(world.new_loop(payer=slow).serve_due())
    await slow.reached.wait()
    await world.serve_after(61)

    world.payer.funds_msat = 0
    slow.go_on.set()
    await sleeper

    assert len(world.payer.paid_calls) == 1
    assert await world.state_of(refund) == "unknown"
    await world.check_books()


async def test_a_slow_process_does_not_call_what_another_has_called(world):
    refund = await world.due()
    payment_hash = await world.start(refund)
    slow = Paused(world.payer, "balance")
    sleeper = asyncio.create_task(world.new_loop(payer=slow).serve_due())
    await slow.reached.wait()
    await world.serve_after(61)

    slow.go_on.set()
    await sleeper

    assert [called for called, _ in world.payer.paid_calls] == [payment_hash]
    assert await world.state_of(refund) == "paid"


async def test_a_void_call_takes_nothing_back_that_another_process_has_called_since(world):
    refund = await world.due()
    await world.start(refund, Ending("pending", NOTHING_HEARD))
    slow = Paused(world.payer, "pay", says=NotBegun("429"))
    sleeper = asyncio.create_task(world.new_loop(payer=slow).serve_due())
    await slow.reached.wait()
    await world.serve_after(61)

    slow.go_on.set()
    await sleeper
    await world.serve_after(60)

    assert len(world.payer.paid_calls) == 1
    assert await world.state_of(refund) == "unknown"


async def test_a_slow_last_look_does_not_count_against_a_newer_one(world):
    refund = await world.due()
    payment_hash = await world.start(refund, Ending("failed", None))
    await world.serve()
    slow = Paused(world.payer, "pay", says=Failed("failed, says the test"))
    world.clock.advance(3_600 + DAY_S)
    sleeper = asyncio.create_task(world.new_loop(payer=slow).serve_due())
    await slow.reached.wait()
    show(world, payment_hash, "pending")
    await world.serve_after(61)

    slow.go_on.set()
    await sleeper

    assert await world.state_of(refund) == "unknown"
    assert await is_refused(world, refund)


async def test_the_fault_of_one_payout_cuts_no_other_off(world):
    broken, whole = await world.due(), await world.due()
    hashes = [await world.start(broken), await world.start(whole)]
    world.payer.breaks_at.add(hashes[0])

    with pytest.raises(RuntimeError):
        await world.loop.serve_due()

    assert world.payer.outflows == [hashes[1]]
    assert await world.state_of(whole) == "paid"


async def test_of_twenty_further_destinations_none_is_paid_while_nothing_is_known(world):
    refund = await world.due()
    payment_hash = await world.start(refund, Ending("pending", NOTHING_HEARD))
    await world.serve()

    refused = await asyncio.gather(*(is_refused(world, refund) for _ in range(20)))
    for _ in range(10):
        await world.serve_after(60)
    show(world, payment_hash, "success")
    await world.serve_after(60)

    assert all(refused)
    assert world.payer.outflows == [payment_hash]
    assert await world.state_of(refund) == "paid"


async def test_an_invoice_is_never_sent_for_two_debts(world):
    first, second = await world.due(), await world.due()
    target = world.target(first.amount)
    await world.store.write(payouts.start_refund, first, target, RULE, world.clock.now_ms())

    with pytest.raises(InvalidRequest):
        await world.store.write(payouts.start_refund, second, target, RULE, world.clock.now_ms())


async def test_a_new_debt_is_heard_of_at_once(world):
    refund = await world.due()
    running = asyncio.create_task(world.loop.run())
    with world.bulletin.listen(refund.account_id) as news:
        await world.start(refund)
        while await world.state_of(refund) == "sending":
            assert await news.wait(LOOK_S - 1), "nobody told the payer"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert await world.state_of(refund) == "paid"


# Who pays the routing fee


async def test_the_house_pays_for_its_own_faults_up_to_so_much_a_day(store):
    world = PayerWorld(store, house_fee_sats_per_day=12)
    owed = [await world.due() for _ in range(3)]
    for refund in owed:
        await world.start(refund, Ending("pending", NOTHING_HEARD))
    await world.serve()
    first_day = [await world.state_of(refund) for refund in owed]

    await world.serve_after(DAY_S + 1)
    [late] = [refund for refund in owed if await world.state_of(refund) == "due"]
    await world.start(late)
    await world.serve()

    assert sorted(first_day) == ["due", "unknown", "unknown"]
    assert await world.state_of(late) == "paid"
    await world.check_books()


async def test_what_routing_really_cost_counts_against_the_day(store):
    world = PayerWorld(store, house_fee_sats_per_day=12)
    owed = [await world.due() for _ in range(9)]
    for refund in owed:
        await world.start(refund)
        await world.serve()

    # Each costs 1 sat, and is sent while its cap of 5 still fits into what is left of 12.
    states = [await world.state_of(refund) for refund in owed]
    assert states == ["paid"] * 8 + ["due"]
    assert await world.store.read(ledger.house_balance, ledger.FEES) == -8_000
    await world.check_books()


async def test_a_payment_that_failed_has_cost_the_house_nothing(store):
    world = PayerWorld(store, house_fee_sats_per_day=5)
    refund = await world.due()
    await world.start(refund, Ending("failed", None))
    await live_through_a_day(world, [], "failed", "failed")

    await world.start(await world.refund_of(refund.account_id))
    await world.serve()

    assert await world.state_of(refund) == "paid"


async def test_a_debt_that_pays_its_own_way_has_its_unused_reserve_due_again(world):
    refund = await world.own_due()
    await world.start(refund)

    await world.serve()

    # Of 34 sats 29 arrive, 1 is routing, 4 are owed on.
    seen = sorted(await world.refunds_of(refund.account_id))
    assert seen == [("due", 0, 4_000), ("paid", 29_000, 1_000)]
    assert await world.store.read(ledger.house_balance, ledger.FEES) == 0
    await world.check_books()


async def test_a_fee_above_the_reserve_is_the_house_s_loss(world):
    refund = await world.own_due()
    await world.start(refund)
    world.payer.fee_msat = 9_000

    await world.serve()

    assert await world.refunds_of(refund.account_id) == [("paid", 29_000, 9_000)]
    assert await world.store.read(ledger.house_balance, ledger.FEES) == -4_000
    await world.check_books()


async def test_a_debt_that_grew_meanwhile_is_not_sent_as_it_was(world):
    refund = await world.due()
    debt = Debt(own=from_sats(20))
    await world.store.write(refunds.owe, refund.account_id, debt, RULE, world.clock.now_ms())

    with pytest.raises(WrongState):
        await world.start(refund)


async def test_what_becomes_due_while_a_payout_runs_joins_what_failed(world):
    refund = await world.own_due()
    await world.start(refund, Ending("failed", None))
    await world.serve()
    assert await world.books.fail(refund.account_id, "work_failed")

    await live_through_a_day(world, [], "failed", "failed")

    assert await world.refunds_of(refund.account_id) == [("due", 84_000, 5_000)]
    await world.check_books()


# Sessions


@pytest.mark.parametrize(
    ("later", "balance", "seen"),
    [
        ("success", 899_000, ("paid", 100_000, 1_000)),
        ("pending", 895_000, ("unknown", 100_000, 5_000)),
        ("failed", 1_000_000, ("credited", 100_000, 0)),
    ],
)
async def test_a_withdrawal_leaves_the_balance_and_comes_back_if_it_failed(
    world, later, balance, seen
):
    session_id = await world.books.session_of(await world.books.fill())
    payment_hash = await world.withdraw(session_id, 100, Ending("pending", NOTHING_HEARD))
    on_the_way = await world.books.on_account(session_id)
    await world.serve()

    await live_through_a_day(world, [payment_hash], later, later)

    assert on_the_way == 895_000
    assert await world.books.on_account(session_id) == balance
    assert await world.refunds_of(session_id) == [seen]
    await world.check_books()


async def test_more_than_the_free_balance_is_not_withdrawn(world):
    session_id = await world.books.session_of(await world.books.fill())

    with pytest.raises(ledger.NotEnough):
        await world.withdraw(session_id, 996)

    assert await world.books.on_account(session_id) == from_sats(1_000)
    assert await world.refunds_of(session_id) == []


class Paused:
    """A wallet, one of whose answers is on its way for as long as the test likes."""

    def __init__(self, payer, name, *, says=None):
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.fee_reserve = payer.fee_reserve
        self.balance = payer.balance
        self.pay = payer.pay
        self.outcome = payer.outcome
        self._call = getattr(payer, name)
        self._says = says
        setattr(self, name, self._answer)

    async def _answer(self, *args, **kwargs):
        self.reached.set()
        await self.go_on.wait()
        return self._says or await self._call(*args, **kwargs)
