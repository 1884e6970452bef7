"""What routing may cost: nothing above the cap is sent, and nobody lives off the house's fees."""

from core.books import ledger
from core.values.money import from_sats
from tests.books.paid_jobs import FEE, PRICE
from tests.loops.payer_world import DAY_S, PayerWorld

CYCLES = 12


async def test_where_half_of_it_is_asked_for_routing_nothing_is_sent_and_the_debt_stays(store):
    world = PayerWorld(store)
    house, own = await world.due(), await world.own_due()
    session_id = await world.books.session_of(await world.books.fill())
    world.payer.reserve_msat = house.amount // 2

    for refund in (house, own):
        await world.start(refund)
    await world.withdraw(session_id, 100)
    await world.serve()

    assert world.payer.paid_calls == []
    assert [await world.state_of(refund) for refund in (house, own)] == ["due", "due"]
    assert (await world.refund_of(house.account_id)).debt == house.debt
    assert await world.books.on_account(session_id) == from_sats(1_000)
    await world.check_books()


async def test_cycles_through_the_payee_s_own_dear_node_earn_at_most_what_the_house_pays_a_day(
    store,
):
    """The payee's node takes the whole cap as its fee, again and again, on two days."""
    world = PayerWorld(store, house_fee_sats_per_day=50)
    world.payer.reserve_msat = world.payer.fee_msat = 5_000
    spent, earned_by = 0, []
    for _ in range(2):
        for _ in range(CYCLES):
            spent += await answer_with_nothing(world) + await pay_cancel_refund(world)
        await world.serve_after(DAY_S + 1)
        earned_by.append(await arrived(world) + await still_owed(world) - spent)

    assert earned_by == [50_000, 100_000]
    assert await world.store.read(ledger.house_balance, ledger.FEES) == -100_000
    await world.check_books()


async def answer_with_nothing(world):
    """The work comes out empty, so that everything is owed back at the house's cost."""
    refund = await world.due()
    await world.start(refund)
    await world.serve()
    return FEE + PRICE


async def pay_cancel_refund(world):
    job_id = await world.books.open()
    await world.books.pay(job_id, "eval")
    await world.books.cancel(job_id)
    await world.start(await world.refund_of(job_id))
    await world.serve()
    return FEE


async def arrived(world):
    """What has left the wallet: it reached the payee, or the payee's node on the way."""
    rows = await world.store.read(_paid)
    return sum(row["amount_msat"] + row["fee_msat"] for row in rows)


async def still_owed(world):
    return (await world.store.read(_owed))["msat"]


async def _paid(tx):
    return await tx.all("SELECT amount_msat, fee_msat FROM refunds WHERE state = 'paid'")


async def _owed(tx):
    return await tx.one(
        "SELECT CAST(COALESCE(SUM(house_msat + own_msat), 0) AS BIGINT) AS msat FROM refunds"
    )
