"""A payout whose outcome is not known blocks every other of the same money, and says so."""

import asyncio

import pytest

from core.books.audit import audit
from tests.api.conftest import eventually
from tests.api.test_payouts import bearing
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.lnbits_faults import Fault


@pytest.fixture
async def sim():
    async with SimulatedLnbits() as sim:
        sim.books.shop.credit_msat = 10**9
        yield sim


@pytest.fixture
async def shop(open_shop, database, sim):
    return await open_shop(
        DATABASE__URL=database.url,
        WALLET__KIND="lnbits",
        WALLET__NETWORK=sim.books.network,
        WALLET__LNBITS__URL=sim.url,
        WALLET__LNBITS__INVOICE_KEY=sim.books.shop.invoice_key,
        WALLET__LNBITS__ADMIN_KEY=sim.books.shop.admin_key,
    )


async def job_that_owes(shop, sim):
    """A job that was cancelled, and paid after that: 16 sats arrive of its 21."""
    ordered = await shop.order()
    path, token = f"/jobs/{ordered['jobId']}", bearing(ordered["jobToken"])
    await shop.post(f"{path}/cancel", headers=token)
    await sim.pay(ordered["evalInvoice"]["paymentHash"])

    async def is_due():
        return (await shop.get(path)).json["refunds"]

    await eventually(is_due, within_s=20)
    return path, token


async def test_of_twenty_further_destinations_none_is_paid_while_one_may_have_been(shop, sim):
    path, token = await job_that_owes(shop, sim)
    sim.books.outcome_abroad = "pending"
    sim.fail("pay", Fault("lost_reply"))  # the call was taken, and nobody heard that it was
    first = {"to": sim.books.foreign_invoice(16)}
    assert (await shop.post(f"{path}/refund", json=first, headers=token)).status == 202

    async def is_unknown():
        return (await shop.get(path)).json["refunds"][0]["state"] == "unknown"

    await eventually(is_unknown, within_s=20)
    others = [{"to": sim.books.foreign_invoice(16)} for _ in range(20)]
    refused = await asyncio.gather(
        *(shop.post(f"{path}/refund", json=to, headers=token) for to in others)
    )
    same = await shop.post(f"{path}/refund", json=first, headers=token)

    assert [answer.code for answer in refused] == ["wrong_state"] * 20
    assert (same.status, same.json["state"]) == (202, "unknown")
    assert [call.body["bolt11"] for call in sim.calls_of("pay")] == [first["to"]]
    assert await shop.core.store.read(audit) == []
