"""Autopay: a job's debts find the address that the job gave, once each, whatever happens."""

import asyncio
from contextlib import suppress

import pytest
from aiohttp import web

from core.books import payouts, refund_orders, refunds
from core.books.refunds import Debt
from core.loops.autopay import TAKEN_MS, AutopayLoop
from core.loops.due import LOOK_S
from core.store.bulletin import Bulletin
from core.values.money import from_sats
from core.wallets.lnurl import Resolver
from tests.books.paid_jobs import PRICE
from tests.hand_clock import HandClock
from tests.loops.payer_world import RULE, Killed, Mortal, PayerWorld
from tests.simulator.receiver import SimulatedReceiver


class AutopayWorld(PayerWorld):
    """A payer's world, a receiver, and loops that ask it."""

    def __init__(self, store, receiver, clock):
        super().__init__(store, clock=clock)
        self.receiver = receiver
        self.resolver = Resolver(
            network="regtest", insecure_hosts=(receiver.host,), clock=self.clock
        )
        self.autopay = self.new_autopay()

    def new_autopay(self, *, store=None, resolver=None):
        return AutopayLoop(
            store or self.store,
            self.bulletin if store is None else Bulletin(),
            resolver or self.resolver,
            self.clock,
            self.terms,
            (self.receiver.host,),
        )

    async def job(self, state="executing"):
        """A job that said where its debts go."""
        job_id = await self.books.in_state(state)
        await self.store.write(refund_orders.add, job_id, self.receiver.address)
        return job_id

    async def failed_job(self):
        """Such a job, of which the house owes 55 sats."""
        job_id = await self.job()
        assert await self.books.fail(job_id, "work_failed")
        return job_id

    async def owe(self, job_id, sats):
        debt = Debt(own=from_sats(sats))
        await self.store.write(refunds.owe, job_id, debt, RULE, self.clock.now_ms())

    async def try_due(self, loop=None):
        """Let the orders that are due now be tried."""
        while await self._order_is_due():
            await (loop or self.autopay).serve_due()

    async def try_after(self, seconds):
        self.clock.advance(seconds)
        await self.try_due()

    async def sent(self):
        """Where money was sent, and how much."""
        return await self.store.read(_targets)

    async def _order_is_due(self):
        due_ms = await self.store.read(refund_orders.next_try_ms)
        return due_ms is not None and due_ms <= self.clock.now_ms()


async def _targets(tx):
    rows = await tx.all(
        "SELECT r.destination, p.amount_msat FROM payouts p"
        " JOIN refunds r ON r.refund_id = p.refund_id ORDER BY p.look_at_ms"
    )
    return [(row["destination"], row["amount_msat"]) for row in rows]


@pytest.fixture
async def world(store):
    clock = HandClock()
    async with SimulatedReceiver(now_ms=clock.now_ms) as receiver:
        world = AutopayWorld(store, receiver, clock)
        yield world
        world.resolver.close()


async def refuse(_request):
    return web.json_response({"status": "ERROR", "reason": "not today"})


async def test_a_debt_goes_to_the_address_that_its_job_gave(world):
    job_id = await world.failed_job()

    await world.try_due()

    refund = await world.refund_of(job_id)
    assert (refund.state, refund.destination) == ("sending", world.receiver.address)
    assert await world.sent() == [(world.receiver.address, 55_000)]


async def test_a_job_that_gave_no_address_is_left_alone(world):
    refund = await world.due()

    await world.try_due()

    assert await world.state_of(refund) == "due"
    assert world.receiver.requests == []


async def test_a_debt_below_the_minimum_waits_for_more(world):
    job_id = await world.job("rejected")
    await world.books.pay(job_id, "eval", amount=from_sats(14))  # 9 less the fee cap of 5

    await world.try_due()
    asked = len(world.receiver.requests)
    await world.owe(job_id, 10)
    await world.try_due()

    assert asked == 0
    assert await world.sent() == [(world.receiver.address, 19_000)]


async def test_a_receiver_that_refuses_leaves_the_debt_due_and_is_asked_ever_more_rarely(world):
    world.receiver.instead_of_offer = refuse
    job_id = await world.failed_job()
    await world.try_due()
    first_ms = world.clock.now_ms()
    pauses_s = []
    for _ in range(10):
        due_ms = await world.store.read(refund_orders.next_try_ms)
        pauses_s.append((due_ms - world.clock.now_ms()) // 1000)
        await world.try_after(pauses_s[-1])

    state = (await world.refund_of(job_id)).state

    assert state == "due"
    assert pauses_s == [60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600]
    assert world.clock.now_ms() - first_ms == sum(pauses_s) * 1000
    assert len(world.receiver.requests) == 11


async def test_what_was_refused_is_sent_once_the_receiver_takes_it(world):
    world.receiver.instead_of_offer = refuse
    await world.failed_job()
    await world.try_due()

    world.receiver.instead_of_offer = None
    await world.try_after(59)
    too_early = await world.sent()
    await world.try_after(1)

    assert too_early == []
    assert await world.sent() == [(world.receiver.address, 55_000)]


async def test_new_debt_is_tried_at_once_together_with_the_old(world):
    world.receiver.instead_of_offer = refuse
    job_id = await world.failed_job()
    for _ in range(6):
        await world.try_after(7_200)

    world.receiver.instead_of_offer = None
    await world.owe(job_id, 100)
    await world.try_due()

    assert await world.sent() == [(world.receiver.address, 150_000)]


async def test_a_debt_that_grows_while_its_receiver_is_asked_is_sent_whole(world):
    job_id = await world.failed_job()
    usual = world.receiver._offer

    async def grow(request):
        world.receiver.instead_of_offer = None
        await world.owe(job_id, 100)
        return await usual(request)

    world.receiver.instead_of_offer = grow
    await world.try_due()

    assert await world.sent() == [(world.receiver.address, 150_000)]


async def test_what_the_customer_has_sent_elsewhere_meanwhile_is_not_sent_again(world):
    job_id = await world.failed_job()
    usual = world.receiver._offer

    async def send_elsewhere(request):
        await world.start(await world.refund_of(job_id))
        return await usual(request)

    world.receiver.instead_of_offer = send_elsewhere
    await world.try_due()
    await world.try_after(3_600)

    assert len(await world.sent()) == 1
    assert (await world.refund_of(job_id)).destination != world.receiver.address


async def test_a_younger_debt_waits_until_the_older_has_arrived(world):
    job_id = await world.failed_job()
    await world.try_due()
    [first] = await world.store.read(_hashes)
    await world.owe(job_id, 100)
    await world.try_due()
    while_running = len(await world.sent())

    [payout] = await world.store.write(
        payouts.take_due, now_ms=world.clock.now_ms(), until_ms=2**50, limit=1
    )
    arrived = await world.store.write(
        payouts.arrived, payout, from_sats(1), RULE, world.clock.now_ms()
    )
    await world.try_due()

    assert (payout.payment_hash, arrived, while_running) == (first, True, 1)
    assert [amount for _, amount in await world.sent()] == [95_000, 55_000]


async def _hashes(tx):
    rows = await tx.all("SELECT payment_hash FROM payouts")
    return [row["payment_hash"] for row in rows]


async def test_what_could_not_be_sent_is_tried_again_after_a_pause(world):
    job_id = await world.failed_job()
    await world.try_due()
    [payout] = await world.store.write(
        payouts.take_due, now_ms=world.clock.now_ms(), until_ms=2**50, limit=1
    )
    await world.store.write(payouts.not_sent, payout, RULE, world.clock.now_ms())

    await world.try_after(59)
    states = [(await world.refund_of(job_id)).state]
    await world.try_after(1)
    states.append((await world.refund_of(job_id)).state)

    assert states == ["due", "sending"]
    assert len(await world.sent()) == 2


@pytest.mark.parametrize("dies_at", range(1, 8))
async def test_killed_at_every_step_it_is_sent_once(world, dies_at):
    job_id = await world.failed_job()
    mortal = Mortal(world.store, world.payer, dies_at=dies_at)
    asker = MortalResolver(world.resolver, mortal)
    with suppress(Killed):
        await world.try_due(world.new_autopay(store=mortal, resolver=asker))

    await world.try_after(TAKEN_MS / 1000)

    assert mortal.has_died is (dies_at <= 6)
    assert await world.sent() == [(world.receiver.address, 55_000)]
    assert (await world.refund_of(job_id)).state == "sending"


class MortalResolver:
    """Whoever asks receivers, in a process that dies."""

    def __init__(self, resolver, mortal):
        self._resolver = resolver
        self._mortal = mortal

    async def invoice_of(self, address, amount):
        return await self._mortal._lives_through(self._resolver.invoice_of, address, amount)


async def test_two_processes_at_once_send_it_once(world):
    await asyncio.gather(*(world.failed_job() for _ in range(5)))

    await asyncio.gather(*(world.new_autopay().serve_due() for _ in range(4)))
    await world.try_after(TAKEN_MS / 1000)

    assert await world.sent() == [(world.receiver.address, 55_000)] * 5


async def test_one_whose_time_is_over_sends_nothing(world):
    await world.failed_job()
    reached, go_on = asyncio.Event(), asyncio.Event()
    usual = world.receiver._offer

    async def slow(request):
        world.receiver.instead_of_offer = None
        reached.set()
        await go_on.wait()
        return await usual(request)

    world.receiver.instead_of_offer = slow
    sleeper = asyncio.create_task(world.new_autopay().serve_due())
    await reached.wait()
    await world.try_after(TAKEN_MS / 1000)
    go_on.set()
    await sleeper

    assert len(await world.sent()) == 1


async def test_a_new_debt_is_heard_of_at_once(world):
    job_id = await world.job()
    running = asyncio.create_task(world.autopay.run())
    with world.bulletin.listen(job_id) as news:
        await world.books.pay(job_id, "work", amount=PRICE)
        while (await world.refund_of(job_id)).state == "due":
            assert await news.wait(LOOK_S - 1), "nobody told the loop"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert await world.sent() == [(world.receiver.address, 29_000)]
