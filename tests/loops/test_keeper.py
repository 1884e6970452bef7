"""The keeper: deadlines and waits, by a clock that stands, jumps or was off."""

import asyncio

import pytest

from core.agents.port import AgentFault
from core.books import ledger, processes
from core.books.ledger import WALLET, Leg, Transfer
from core.books.refunds import Debt
from core.values.money import Msat
from tests.fakes import WORK
from tests.hand_clock import START_MS
from tests.world import ALICE, DEADLINE_S, LEASE_S, TTL_S, opened

FEE, PRICE = Msat(21_000), Msat(15_000)
HOUR_S, DAY_S = 3_600, 86_400


async def state_of(world, job_id):
    job = await world.view(job_id)
    return job.state, job.error_code


async def never_ending(world):
    """A job whose work takes for ever; its deadline runs from now on. Nobody tries it again."""
    world.agent.works.extend([(asyncio.Event(),)] * 9)
    job = await world.executing()
    await world.agent.calls.reaches(2)
    await world.core.worker.drain(0)
    return job


# Waiting for payments


async def test_an_unpaid_job_ends_when_its_wait_is_over_and_the_wallet_says_not_paid(world):
    job, _ = await world.order()

    await world.pass_time(TTL_S - 1)
    assert await state_of(world, job.job_id) == ("awaiting_eval_payment", None)
    assert world.wallet.looks() == []
    await world.pass_time(1)

    assert await state_of(world, job.job_id) == ("failed", "eval_unpaid")
    assert world.wallet.looks() == [job.eval_invoice.payment_hash]
    assert await world.debt(job.job_id) == Debt()


async def test_unpaid_work_ends_the_job_and_the_fee_is_kept(world):
    job = await world.quoted()

    await world.pass_time(TTL_S - 1)
    assert await state_of(world, job.job_id) == ("awaiting_work_payment", None)
    await world.pass_time(1)

    assert await state_of(world, job.job_id) == ("failed", "quote_expired")
    assert await world.revenue() == FEE
    assert await world.debt(job.job_id) == Debt()


async def test_the_wait_for_the_work_begins_with_the_quote(world):
    job, _ = await world.order()
    await world.pass_time(TTL_S - 1)
    world.wallet.pay(job.eval_invoice)
    await world.becomes(job.job_id, "awaiting_work_payment")

    await world.pass_time(TTL_S - 1)

    assert await state_of(world, job.job_id) == ("awaiting_work_payment", None)


async def test_every_open_invoice_is_asked_about_before_a_job_ends_unpaid(world):
    job, token = await world.order()
    renewed = await world.jobs.renew_invoice(job.job_id, token, client=ALICE)

    await world.pass_time(TTL_S)

    asked = {job.eval_invoice.payment_hash, renewed.payment_hash}
    assert set(world.wallet.looks()) == asked
    assert await state_of(world, job.job_id) == ("failed", "eval_unpaid")


async def test_a_payment_that_is_found_at_the_end_of_the_wait_moves_the_job_on(world):
    job, _ = await world.order()
    world.wallet.pay_unheard(job.eval_invoice)

    await world.pass_time(TTL_S)

    quoted = await world.becomes(job.job_id, "awaiting_work_payment")
    assert quoted.eval_invoice.state == "paid"


async def test_a_payment_of_the_older_invoice_is_found_too(world):
    job, token = await world.order()
    await world.jobs.renew_invoice(job.job_id, token, client=ALICE)
    world.wallet.pay_unheard(job.eval_invoice)

    await world.pass_time(TTL_S)

    await world.becomes(job.job_id, "awaiting_work_payment")


async def test_work_that_was_paid_unheard_is_done(world):
    job = await world.quoted()
    world.wallet.pay_unheard(job.work_invoice)

    await world.pass_time(TTL_S)

    await world.becomes(job.job_id, "complete")


async def test_no_job_ends_on_an_answer_that_the_wallet_did_not_give(world):
    job, _ = await world.order()
    world.wallet.silent_about.add(job.eval_invoice.payment_hash)

    await world.pass_time(TTL_S)
    for _ in range(20):
        await world.pass_time(60)

    assert await state_of(world, job.job_id) == ("awaiting_eval_payment", None)
    world.wallet.silent_about.clear()
    await world.pass_time(60)
    assert await state_of(world, job.job_id) == ("failed", "eval_unpaid")


async def test_an_unanswered_look_up_is_repeated_once_a_minute(world):
    job, _ = await world.order()
    world.wallet.silent_about.add(job.eval_invoice.payment_hash)

    await world.pass_time(TTL_S)
    for _ in range(12):
        await world.pass_time(10)

    assert len(world.wallet.looks()) == 3


async def test_one_invoice_without_an_answer_keeps_its_job_though_the_other_is_not_paid(world):
    job, token = await world.order()
    renewed = await world.jobs.renew_invoice(job.job_id, token, client=ALICE)
    world.wallet.silent_about.add(renewed.payment_hash)

    await world.pass_time(TTL_S)

    assert await state_of(world, job.job_id) == ("awaiting_eval_payment", None)


async def test_a_job_without_an_answer_does_not_hold_up_the_others(world):
    silent = [(await world.order())[0] for _ in range(3)]
    world.wallet.silent_about.update(job.eval_invoice.payment_hash for job in silent)
    await world.pass_time(1)
    unpaid, _ = await world.order()
    paid, _ = await world.order()
    world.wallet.pay_unheard(paid.eval_invoice)

    await world.pass_time(TTL_S)
    for _ in range(3):
        await world.pass_time(10)

    assert await state_of(world, unpaid.job_id) == ("failed", "eval_unpaid")
    await world.becomes(paid.job_id, "awaiting_work_payment")
    for job in silent:
        assert await state_of(world, job.job_id) == ("awaiting_eval_payment", None)


async def test_a_payment_after_the_end_is_owed_back_when_it_is_heard(world):
    job, _ = await world.order()
    await world.pass_time(TTL_S)

    world.wallet.pay(job.eval_invoice)
    owed = await world.hears_of_debt(job.job_id)

    assert owed == Debt(own=FEE)
    assert await state_of(world, job.job_id) == ("failed", "eval_unpaid")


# Deadlines, and time that does not count


async def test_a_deadline_does_not_run_while_nobody_works(database):
    async with opened(database) as world:
        job = await never_ending(world)
        clock, wallet = world.clock, world.wallet
        await world.pass_time(1)

    clock.advance(HOUR_S)
    async with opened(database, clock=clock, wallet=wallet) as world:
        seen = await world.view(job.job_id)
        assert seen.deadline_at_ms == START_MS + (HOUR_S + DEADLINE_S) * 1000

        await world.pass_time(LEASE_S)

        await world.becomes(job.job_id, "complete")


async def test_what_was_left_of_a_deadline_is_left_after_a_pause(database):
    async with opened(database) as world:
        job = await never_ending(world)
        clock, wallet, agent = world.clock, world.wallet, world.agent
        await world.clock.pass_time(400)

    clock.advance(HOUR_S)
    async with opened(database, clock=clock, wallet=wallet, agent=agent) as world:
        await world.core.worker.drain(0)
        await world.clock.pass_time(199)
        assert await state_of(world, job.job_id) == ("executing", None)
        await world.clock.pass_time(1)

        assert await state_of(world, job.job_id) == ("failed", "deadline_exceeded")
        assert await world.debt(job.job_id) == Debt(house=Msat(FEE + PRICE))


async def test_a_short_pause_counts_as_running_time(database):
    async with opened(database) as world:
        job = await never_ending(world)
        clock, wallet, agent = world.clock, world.wallet, world.agent
        await world.clock.pass_time(1)

    clock.advance(5)
    async with opened(database, clock=clock, wallet=wallet, agent=agent) as world:
        seen = await world.view(job.job_id)

        assert seen.deadline_at_ms == START_MS + DEADLINE_S * 1000


async def test_a_clock_that_was_set_back_during_a_pause_makes_no_deadline_longer(database):
    async with opened(database) as world:
        job = await never_ending(world)
        clock, wallet, agent = world.clock, world.wallet, world.agent
        await world.clock.pass_time(1)

    clock.jump(-HOUR_S * 1000)
    async with opened(database, clock=clock, wallet=wallet, agent=agent) as world:
        await world.core.worker.drain(0)
        await world.clock.pass_time(DEADLINE_S)

        assert await state_of(world, job.job_id) == ("failed", "deadline_exceeded")


async def test_a_clock_that_jumps_ahead_ends_no_work(world):
    job = await never_ending(world)

    world.clock.jump(HOUR_S * 1000)
    await world.clock.pass_time(1)
    assert await state_of(world, job.job_id) == ("executing", None)
    await world.clock.pass_time(DEADLINE_S - 2)
    assert await state_of(world, job.job_id) == ("executing", None)
    await world.clock.pass_time(1)

    assert await state_of(world, job.job_id) == ("failed", "deadline_exceeded")


async def test_a_clock_that_jumps_back_makes_no_deadline_longer(world):
    job = await never_ending(world)

    world.clock.jump(-HOUR_S * 1000)
    await world.clock.pass_time(DEADLINE_S - 1)
    assert await state_of(world, job.job_id) == ("executing", None)
    await world.clock.pass_time(1)

    assert await state_of(world, job.job_id) == ("failed", "deadline_exceeded")


async def test_a_clock_that_is_corrected_a_little_shifts_nothing(world):
    job = await never_ending(world)

    world.clock.jump(1_900)
    await world.clock.pass_time(1)

    assert (await world.view(job.job_id)).deadline_at_ms == START_MS + DEADLINE_S * 1000


async def test_a_retry_that_waits_does_not_wait_longer_because_of_a_jump_back(world):
    world.agent.works.append((AgentFault("overloaded"),))
    world.agent.works.append(WORK)
    job = await world.executing()
    await world.agent.calls.reaches(2)
    async with asyncio.timeout(30):
        await asyncio.gather(*world.core.worker._running)

    world.clock.jump(-HOUR_S * 1000)
    await world.pass_time(1)

    await world.becomes(job.job_id, "complete")


async def test_a_process_gives_signs_of_life(world):
    await world.pass_time(7)

    seen = await world.store.read(_seen)

    assert seen == {world.core.worker.process_id: START_MS + 7_000}


async def test_a_process_that_was_silent_is_buried(world):
    await world.store.write(processes.see, "dead", START_MS)

    await world.pass_time(60)

    assert "dead" not in await world.store.read(_seen)


async def _seen(tx):
    rows = await tx.all("SELECT process_id, seen_at_ms FROM processes")
    return {row["process_id"]: row["seen_at_ms"] for row in rows}


# Holds


async def test_a_hold_past_its_deadline_is_given_back(world):
    await world.store.write(_hold, 5_000)

    await world.pass_time(4)
    assert (await world.store.read(ledger.account, "ses_x")).held == 1_000
    await world.pass_time(1)

    account = await world.store.read(ledger.account, "ses_x")
    assert (account.balance, account.held) == (10_000, 0)


@pytest.mark.parametrize(("silent_s", "is_given_back"), [(19, False), (21, True)])
async def test_a_hold_of_a_process_that_fell_silent_is_given_back(world, silent_s, is_given_back):
    await world.store.write(_hold, 86_400_000, owner="another process")
    await world.store.write(processes.see, "another process", world.clock.now_ms())

    await world.pass_time(silent_s)

    account = await world.store.read(ledger.account, "ses_x")
    assert (account.held == 0) is is_given_back


async def _hold(tx, lasts_ms, *, owner=""):
    await ledger.open_account(tx, "ses_x")
    legs = [Leg("ses_x", Msat(10_000)), Leg(WALLET, Msat(-10_000))]
    await ledger.transfer(tx, Transfer("t1", "deposit", "t1", START_MS), legs)
    await ledger.hold(tx, "h1", "ses_x", Msat(1_000), START_MS + lasts_ms, owner=owner)
