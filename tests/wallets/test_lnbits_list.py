"""The whole list of a wallet at a simulated LNbits, in both directions."""

import pytest

from core.values.errors import WalletUnavailable
from tests.simulator.lnbits_faults import Fault
from tests.wallets.lnbits_world import ordered, settle_old_ones, wallet_at

MARKS = {"kind": "payout", "refund": "rfd_1"}


async def test_what_went_out_is_listed_with_what_it_has_cost(sim):
    sim.books.shop.credit_msat = 1_000_000
    sim.books.pay(sim.books.shop, sim.books.foreign_invoice(100), {**MARKS, "number": 7})
    async with wallet_at(sim) as wallet:
        [moved] = await wallet.movements(since_ms=0)

    assert (moved.direction, moved.amount, moved.fee) == ("out", 100_000, 1_000)
    assert moved.extra == MARKS  # and what is no text is left out


@pytest.mark.parametrize("status", ["failed", "pending"])
async def test_what_has_not_gone_out_is_not_listed(sim, status):
    sim.books.shop.credit_msat = 1_000_000
    sim.books.outcome_abroad = "pending"
    sent = sim.books.pay(sim.books.shop, sim.books.foreign_invoice(100), MARKS)
    sim.books.change(sent, status)
    async with wallet_at(sim) as wallet:
        assert await wallet.movements(since_ms=0) == []


async def test_a_list_of_several_pages_is_whole(sim):
    for _ in range(2_300):
        sim.books.settle(sim.books.incoming(ordered(sim)))
    async with wallet_at(sim, timeout_s=20) as wallet:
        listed = await wallet.movements(since_ms=0)

    assert len({moved.payment_hash for moved in listed}) == 2_300
    assert [moved.at_ms for moved in listed] == sorted(moved.at_ms for moved in listed)


async def test_only_what_is_newer_than_asked_is_listed(sim):
    await settle_old_ones(sim, 3)
    new = ordered(sim)
    await sim.settle(new)
    async with wallet_at(sim) as wallet:
        listed = await wallet.movements(since_ms=int((sim.books.now_s() - 3_600) * 1000))

    assert [moved.payment_hash for moved in listed] == [new]


async def test_a_page_that_does_not_come_is_no_list(sim):
    sim.fail("list", Fault("500"))
    async with wallet_at(sim) as wallet:
        with pytest.raises(WalletUnavailable):
            await wallet.movements(since_ms=0)
