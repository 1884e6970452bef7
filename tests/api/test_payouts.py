"""Money back over HTTP: what is due of a job, what is free in a session."""

from core.books.audit import audit
from core.values.ids import new_id
from tests.api.conftest import eventually


def bearing(token):
    return {"Authorization": f"Bearer {token}"}


async def somebodys_invoice(shop, sats):
    answer = await shop.post("/dev/stub/invoice", json={"amountSats": sats})
    return answer.json["paymentRequest"]


async def job_that_owes(shop):
    """A job whose evaluation was paid after it was cancelled: 21 sats are due."""
    ordered = await shop.order()
    await shop.post(f"/jobs/{ordered['jobId']}/cancel", headers=bearing(ordered["jobToken"]))
    await shop.pay(ordered["evalInvoice"])

    async def is_due():
        return (await shop.get(f"/jobs/{ordered['jobId']}")).json["refunds"]

    await eventually(is_due)
    return ordered


async def filled_session(shop, sats=1_000):
    opened = (await shop.post("/sessions", json={"amountSats": sats})).json
    await shop.pay(opened["depositInvoice"])

    async def is_active():
        answer = await shop.get("/sessions/me", headers=bearing(opened["macaroon"]))
        return answer.json["state"] == "active"

    await eventually(is_active)
    return opened


async def ended(shop, refund, token):
    """The refund as it stands once nothing is on its way any more."""

    async def is_over():
        answer = await shop.get(f"/refunds/{refund['refundId']}", headers=bearing(token))
        return answer.json["state"] not in {"due", "sending", "unknown"}

    await eventually(is_over)
    return (await shop.get(f"/refunds/{refund['refundId']}", headers=bearing(token))).json


async def test_what_is_due_goes_to_an_invoice_of_the_exact_amount(shop):
    ordered = await job_that_owes(shop)
    due = (await shop.get(f"/jobs/{ordered['jobId']}")).json["refunds"][0]

    answer = await shop.post(
        f"/jobs/{ordered['jobId']}/refund",
        json={"to": await somebodys_invoice(shop, 16)},
        headers=bearing(ordered["jobToken"]),
    )

    assert (due["state"], due["amountMsat"], due["feeMsat"]) == ("due", 16_000, 5_000)
    assert answer.status == 202
    assert answer.json["refundId"] == due["refundId"]
    paid = await ended(shop, answer.json, ordered["jobToken"])
    assert (paid["state"], paid["amountMsat"]) == ("paid", 16_000)
    assert await shop.core.store.read(audit) == []


async def test_another_amount_a_stranger_and_nothing_due_are_refused(shop):
    ordered = await job_that_owes(shop)
    path = f"/jobs/{ordered['jobId']}/refund"
    other = await shop.order()

    wrong = await shop.post(
        path,
        json={"to": await somebodys_invoice(shop, 17)},
        headers=bearing(ordered["jobToken"]),
    )
    strange = await shop.post(path, json={"to": "x"}, headers=bearing(other["jobToken"]))
    nothing = await shop.post(
        f"/jobs/{other['jobId']}/refund",
        json={"to": await somebodys_invoice(shop, 16)},
        headers=bearing(other["jobToken"]),
    )

    assert [wrong.status, strange.status, nothing.status] == [400, 404, 409]


async def test_what_the_customer_can_cure_is_said_before_that_the_server_stops(shop):
    ordered, other = await job_that_owes(shop), await shop.order()
    session = await filled_session(shop)
    right = {"to": await somebodys_invoice(shop, 16)}
    shop.core.gate.close()

    asked = [
        (f"/jobs/{ordered['jobId']}/refund", {"to": "x"}, ordered["jobToken"]),
        (f"/jobs/{ordered['jobId']}/refund", right, other["jobToken"]),
        (f"/jobs/{other['jobId']}/refund", right, other["jobToken"]),
        (f"/jobs/{ordered['jobId']}/refund", right, ordered["jobToken"]),
        ("/sessions/me/withdraw", {"to": "x"}, session["macaroon"]),
        ("/sessions/me/withdraw", right, session["macaroon"]),
    ]
    answers = [
        await shop.post(path, json=body, headers=bearing(token)) for path, body, token in asked
    ]

    assert [answer.status for answer in answers] == [400, 404, 409, 503, 400, 503]


async def test_an_invoice_of_ours_is_no_destination(shop):
    ordered = await job_that_owes(shop)

    answer = await shop.post(
        f"/jobs/{ordered['jobId']}/refund",
        json={"to": ordered["evalInvoice"]["paymentRequest"]},
        headers=bearing(ordered["jobToken"]),
    )

    assert answer.status == 400


async def test_the_same_destination_again_is_the_same_refund(shop):
    ordered = await job_that_owes(shop)
    to = {"to": await somebodys_invoice(shop, 16)}
    path, token = f"/jobs/{ordered['jobId']}/refund", bearing(ordered["jobToken"])

    first = await shop.post(path, json=to, headers={**token, "Idempotency-Key": "refund-1"})
    again = await shop.post(path, json=to, headers={**token, "Idempotency-Key": "refund-1"})

    assert [first.status, again.status] == [202, 202]
    assert again.body == first.body


async def test_a_debt_goes_whole_into_a_session(shop):
    ordered = await job_that_owes(shop)
    session = await filled_session(shop)

    answer = await shop.post(
        f"/jobs/{ordered['jobId']}/refund",
        json={"to": session["sessionId"]},
        headers=bearing(ordered["jobToken"]),
    )

    assert (answer.status, answer.json["state"]) == (202, "credited")
    seen = (await shop.get("/sessions/me", headers=bearing(session["macaroon"]))).json
    assert seen["balanceMsat"] == 1_021_000
    assert await shop.core.store.read(audit) == []


async def test_a_session_that_is_not_there_is_no_destination(shop):
    ordered = await job_that_owes(shop)

    answer = await shop.post(
        f"/jobs/{ordered['jobId']}/refund",
        json={"to": new_id("ses")},
        headers=bearing(ordered["jobToken"]),
    )

    assert answer.status == 400


async def test_a_withdrawal_sets_its_fee_aside_and_gives_back_what_routing_did_not_cost(shop):
    session = await filled_session(shop)
    token = bearing(session["macaroon"])

    answer = await shop.post(
        "/sessions/me/withdraw",
        json={"to": await somebodys_invoice(shop, 500), "amountSats": 500},
        headers=token,
    )

    assert answer.status == 202
    paid = await ended(shop, answer.json, session["macaroon"])
    seen = (await shop.get("/sessions/me", headers=token)).json
    entries = (await shop.get("/sessions/me/ledger", headers=token)).json["items"]
    listed = (await shop.get("/sessions/me/refunds", headers=token)).json["items"]
    assert paid["state"] == "paid"
    assert seen["balanceMsat"] == 1_000_000 - 500_000 - paid["feeMsat"]
    assert seen["spentMsat"] == 0
    assert sum(entry["amountMsat"] for entry in entries) == seen["balanceMsat"]
    assert {"withdrawal", "fee"} <= {entry["kind"] for entry in entries}
    assert [refund["refundId"] for refund in listed] == [paid["refundId"]]
    assert await shop.core.store.read(audit) == []


async def test_more_than_is_free_cannot_be_withdrawn(shop):
    session = await filled_session(shop)

    answer = await shop.post(
        "/sessions/me/withdraw",
        json={"to": await somebodys_invoice(shop, 996)},  # and 10 sats for routing
        headers=bearing(session["macaroon"]),
    )

    assert answer.status == 400
    seen = (await shop.get("/sessions/me", headers=bearing(session["macaroon"]))).json
    assert seen["balanceMsat"] == 1_000_000


async def test_a_token_without_the_right_withdraws_nothing_and_sees_no_destination(shop):
    session = await filled_session(shop)
    order = {"label": "reader", "rights": ["read"]}
    made = await shop.post("/sessions/me/tokens", json=order, headers=bearing(session["macaroon"]))
    reader = bearing(made.json["macaroon"])
    to = {"to": await somebodys_invoice(shop, 500)}
    sent = await shop.post("/sessions/me/withdraw", json=to, headers=bearing(session["macaroon"]))

    refused = await shop.post("/sessions/me/withdraw", json=to, headers=reader)
    seen = await shop.get(f"/refunds/{sent.json['refundId']}", headers=reader)

    assert refused.status == 403
    assert sent.json["destination"] == to["to"]
    assert (seen.status, seen.json["destination"]) == (200, None)
