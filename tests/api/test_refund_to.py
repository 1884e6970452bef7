"""`refundTo`: what becomes due of a job goes to the address that the order named, by itself."""

import json

import pytest

from core.books.audit import audit
from core.values.clock import SystemClock
from core.values.destinations import lnurl_of
from tests.api.conftest import eventually
from tests.api.test_payouts import bearing
from tests.simulator.lnbits import SimulatedLnbits
from tests.simulator.receiver import SimulatedReceiver

REQUEST = "Sort these names: Zoe, Adam"


@pytest.mark.parametrize(
    "refund_to",
    [
        "",
        "alice",
        "alice@",
        "@example.org",
        "alice@127.0.0.1",
        "alice@localhost",
        "alice@example.org:8080",
        "lnurl1nonsense",
        lnurl_of("http://example.org/pay"),
        lnurl_of("https://10.0.0.1/pay"),
        "ses_" + "0" * 26,
        "lnbc1nonsense",
        "x" * 5_000,
        7,
    ],
)
async def test_an_order_with_what_is_no_address_is_refused(shop, refund_to):
    answer = await shop.post("/jobs", json={"request": REQUEST, "refundTo": refund_to})

    assert (answer.status, answer.code) == (400, "invalid_request")
    assert [fault["pointer"] for fault in answer.json["errors"]] == ["/refundTo"]


@pytest.mark.parametrize(
    "refund_to",
    [
        "alice@example.org",
        "lightning:Alice+tips@Example.ORG",
        lnurl_of("https://example.org/pay?to=alice"),
        lnurl_of("https://example.org/pay").upper(),
        None,
    ],
)
async def test_an_order_with_an_address_is_taken(shop, refund_to):
    answer = await shop.post("/jobs", json={"request": REQUEST, "refundTo": refund_to})

    assert answer.status == 201


def receiver_on(network):
    return SimulatedReceiver(now_ms=SystemClock().now_ms, network=network)


async def test_what_is_due_arrives_at_the_address_by_itself(open_shop, database):
    async with SimulatedLnbits() as sim, receiver_on(sim.books.network) as receiver:
        sim.books.shop.credit_msat = 10**9
        shop = await open_shop(
            DATABASE__URL=database.url,
            WALLET__KIND="lnbits",
            WALLET__NETWORK=sim.books.network,
            WALLET__LNBITS__URL=sim.url,
            WALLET__LNBITS__INVOICE_KEY=sim.books.shop.invoice_key,
            WALLET__LNBITS__ADMIN_KEY=sim.books.shop.admin_key,
            REFUNDS__LNURL_INSECURE_HOSTS=json.dumps([receiver.host]),
        )
        ordered = await shop.order(refundTo=receiver.address)
        path, token = f"/jobs/{ordered['jobId']}", bearing(ordered["jobToken"])
        await shop.post(f"{path}/cancel", headers=token)
        await sim.pay(ordered["evalInvoice"]["paymentHash"])

        async def has_arrived():
            refunds = (await shop.get(path, headers=token)).json["refunds"]
            return any(refund["state"] == "paid" for refund in refunds)

        await eventually(has_arrived, within_s=20)
        seen = (await shop.get(path, headers=token)).json["refunds"]
        assert await shop.core.store.read(audit) == []

    paid = next(refund for refund in seen if refund["state"] == "paid")
    assert (paid["amountMsat"], paid["destination"]) == (16_000, receiver.address)
    assert len(receiver.requests) == 2
