"""The settler: each payment that the wallet shows is credited once, however it is told."""

import asyncio

from core.books.refunds import Debt
from core.values.errors import WalletUnavailable
from core.values.money import Msat
from core.wallets.port import NotPaid, Paid, Unknown
from tests.world import ALICE, LOOPS_THAT_SLEEP

FEE = Msat(21_000)
PATIENCE_S = 30


async def test_a_payment_is_credited_when_it_is_heard(world):
    job, _ = await world.order()

    world.wallet.pay(job.eval_invoice)

    await world.becomes(job.job_id, "evaluating")


async def test_a_payment_that_is_told_five_times_is_credited_once(world):
    job, _ = await world.order()
    world.wallet.pay(job.eval_invoice)
    for _ in range(4):
        world.wallet.tell(job.eval_invoice.payment_hash)
    other, _ = await world.order()
    world.wallet.pay(other.eval_invoice)

    await world.becomes(other.job_id, "evaluating")  # so everything before was heard

    assert await world.debt(job.job_id) == Debt()


async def test_a_payment_that_was_not_for_us_is_left_alone(world):
    world.wallet.tell_of_a_stranger()
    job, _ = await world.order()
    world.wallet.pay(job.eval_invoice)

    await world.becomes(job.job_id, "evaluating")

    assert world.core.desk.health.not_ready() == []


async def test_what_was_paid_above_the_invoice_is_owed_back(world):
    job, _ = await world.order()

    world.wallet.pay(job.eval_invoice, amount=42_000)

    seen = await world.becomes(job.job_id, "evaluating")
    assert [refund.debt for refund in seen.refunds] == [Debt(own=FEE)]


async def test_payments_of_a_job_in_any_order_are_all_credited(world):
    job, token = await world.order()
    renewed = [await world.jobs.renew_invoice(job.job_id, token, client=ALICE) for _ in range(3)]

    for invoice in (*reversed(renewed), job.eval_invoice):
        world.wallet.pay(invoice)

    with world.bulletin.listen(job.job_id) as news:
        while await world.debt(job.job_id) != Debt(own=Msat(3 * FEE)):
            assert await news.wait(PATIENCE_S)


async def test_asking_books_what_the_wallet_proves_and_nothing_else(world):
    settler = world.core.desk.till.settler
    paid, _ = await world.order()
    unpaid, _ = await world.order()
    silent, _ = await world.order()
    world.wallet.pay_unheard(paid.eval_invoice)
    world.wallet.pay_unheard(silent.eval_invoice)
    world.wallet.silent_about.add(silent.eval_invoice.payment_hash)

    assert await settler.ask(paid.eval_invoice.payment_hash) == Paid(FEE, None)
    assert await settler.ask(unpaid.eval_invoice.payment_hash) == NotPaid()
    assert isinstance(await settler.ask(silent.eval_invoice.payment_hash), Unknown)

    await world.becomes(paid.job_id, "evaluating")
    assert await world.view(unpaid.job_id) == unpaid
    assert await world.view(silent.job_id) == silent


async def test_a_payment_that_two_hear_of_at_once_is_credited_once(world):
    settler = world.core.desk.till.settler
    job, _ = await world.order()
    world.wallet.pay_unheard(job.eval_invoice)

    await asyncio.gather(*(settler.ask(job.eval_invoice.payment_hash) for _ in range(5)))

    assert await world.debt(job.job_id) == Debt()
    await world.becomes(job.job_id, "evaluating")


async def test_a_settler_that_died_catches_up_when_it_is_started_again(world):
    world.wallet.break_off(WalletUnavailable("gone, says the test"))
    await world.clock.rest(LOOPS_THAT_SLEEP + 1)  # the supervisor waits too
    assert world.core.desk.health.not_ready() == ["wallet"]
    job, _ = await world.order()
    world.wallet.pay(job.eval_invoice)

    world.clock.advance(1)

    await world.becomes(job.job_id, "evaluating")
    assert world.core.desk.health.not_ready() == []
