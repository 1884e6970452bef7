"""A customer with an HTTP client and play money."""

import asyncio
import re
import time

import pytest

from core.values.clock import SystemClock
from core.values.tokens import attenuate, from_text, to_bearer
from tests.api.actors import MoodyWallet

ABSENT = "job_" + "0" * 26
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def bearer(job, **more):
    return {"Authorization": f"Bearer {job['jobToken']}", **more}


async def test_a_job_goes_from_its_order_to_its_result(shop):
    ordered, job = await shop.quoted(request="Sort these names: Zoe, Adam", metadata={"order": "7"})

    await shop.pay(job["workInvoice"])
    await shop.left(ordered, "awaiting_work_payment")
    done = await shop.left(ordered, "executing")

    assert (done["state"], done["result"]) == ("complete", "Adam, Zoe")
    assert done["metadata"] == {"order": "7"}
    assert done["evalInvoice"]["status"] == done["workInvoice"]["status"] == "paid"
    assert done["usage"]["inputTokens"] > 0
    assert (done["errorCode"], done["refunds"]) == (None, [])
    assert all(TIME.fullmatch(done[name]) for name in ("createdAt", "updatedAt", "deadlineAt"))


async def test_an_order_answers_what_the_contract_says(shop):
    answer = await shop.post("/jobs", json={"request": "Sort these names: Zoe, Adam"})
    job = answer.json

    assert answer.status == 201
    assert set(job) == {"jobId", "jobToken", "state", "evalInvoice"}
    assert answer.headers["Location"] == f"/jobs/{job['jobId']}"
    assert job["state"] == "awaiting_eval_payment"
    invoice = job["evalInvoice"]
    assert (invoice["amountSats"], invoice["purpose"], invoice["status"]) == (21, "eval", "open")
    assert invoice["paymentRequest"].startswith("lnbcrt210n1")
    assert (invoice["paidAt"], invoice["payUrl"]) == (None, None)


async def test_behind_a_public_address_the_location_is_absolute(open_shop):
    shop = await open_shop(SERVER__PUBLIC_URL="https://shop.example/bolt")

    answer = await shop.post("/jobs", json={"request": "Sort: b, a"})

    assert answer.headers["Location"].startswith("https://shop.example/bolt/jobs/job_")


async def test_without_an_evaluation_fee_there_is_no_first_invoice(open_shop):
    shop = await open_shop(PRICING__EVAL_FEE_SATS="0")

    job = await shop.order()

    assert (job["state"], job["evalInvoice"]) == ("evaluating", None)
    assert (await shop.left(job, "evaluating"))["state"] == "awaiting_work_payment"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/request"),
        ({"request": ""}, "/request"),
        ({"request": "x" * 16_001}, "/request"),
        ({"request": None}, "/request"),
        ({"request": 7}, "/request"),
        ({"request": "x", "maxPriceSats": "10"}, "/maxPriceSats"),
        ({"request": "x", "maxPriceSats": 10.0}, "/maxPriceSats"),
        ({"request": "x", "maxPriceSats": True}, "/maxPriceSats"),
        ({"request": "x", "maxPriceSats": -1}, "/maxPriceSats"),
        ({"request": "x", "maxPriceSats": 2**53}, "/maxPriceSats"),
        ({"request": "x", "max_price_sats": 10}, "/max_price_sats"),
        ({"request": "x", "metadata": []}, "/metadata"),
        ({"request": "x", "metadata": {"a": 1}}, "/metadata/a"),
        ({"request": "x", "metadata": {"a": "x" * 513}}, "/metadata/a"),
        ({"request": "x", "metadata": {str(n): "" for n in range(17)}}, "/metadata"),
        ({"request": "x", "surprise": 1}, "/surprise"),
    ],
)
async def test_a_wrong_field_is_a_400_that_points_at_it(shop, body, pointer):
    answer = await shop.post("/jobs", json=body)

    assert (answer.status, answer.code) == (400, "invalid_request")
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'"text"',
        b"{",
        b"\xff",
        b'{"request":"x","request":"y"}',
        rb'{"request":"\u0000"}',
        rb'{"request":"\ud800"}',
        b'{"request":"x","maxPriceSats":1e999}',
        b'{"request":' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
async def test_what_is_no_sound_json_object_is_a_400(shop, raw):
    answer = await shop.post("/jobs", data=raw, headers={"Content-Type": "application/json"})

    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_a_body_that_is_wrong_everywhere_gets_a_short_answer(shop):
    answer = await shop.post("/jobs", json={"request": "x", **{f"f{n}": 0 for n in range(5000)}})

    assert answer.status == 400
    assert len(answer.json["errors"]) == 20


async def test_the_longest_request_is_taken_in_any_script(shop):
    answer = await shop.post(
        "/jobs",
        data='{"request":"' + "\N{FIRE}" * 15_900 + '"}',
        headers={"Content-Type": "application/json; charset=UTF-8"},
    )

    assert answer.status == 201


async def test_a_maximum_below_the_least_price_is_refused_at_once(shop):
    answer = await shop.post("/jobs", json={"request": "x", "maxPriceSats": 9})

    assert (answer.status, answer.code) == (422, "price_above_maximum")


async def test_absent_malformed_and_foreign_jobs_get_one_and_the_same_answer(shop):
    mine, other = await shop.order(), await shop.order()
    places = [
        ("GET", f"/jobs/{ABSENT}"),
        ("GET", "/jobs/nonsense"),
        ("GET", "/jobs/%00"),
        ("GET", f"/jobs/{mine['jobId'].lower()}"),
        ("GET", f"/jobs/{ABSENT}/events"),
        ("POST", f"/jobs/{ABSENT}/cancel"),
        ("POST", f"/jobs/{other['jobId']}/cancel"),
        ("POST", f"/jobs/{other['jobId']}/invoice"),
    ]

    answers = [await shop.ask(*place, headers=bearer(mine)) for place in places]

    assert {answer.status for answer in answers} == {404}
    for answer in answers:
        assert {**answer.json, "requestId": None} == {**answers[0].json, "requestId": None}


@pytest.mark.parametrize("deed", ["cancel", "invoice"])
async def test_what_moves_money_asks_for_the_token(shop, deed):
    job = await shop.order()
    path = f"/jobs/{job['jobId']}/{deed}"

    for headers in ({}, {"X-Api-Key": "nonsense"}, {"Authorization": "Bearer"}):
        answer = await shop.post(path, headers=headers)

        assert (answer.status, answer.code) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_token_may_come_in_any_coat(shop):
    job = await shop.order()
    token = job["jobToken"]

    for headers in (
        {"X-Api-Key": token},
        {"Authorization": f"L402 {token}:{'0' * 64}"},
        {"Authorization": f"LSAT {token}:{'0' * 64}"},
        {"Authorization": f"bearer {token}", "X-Api-Key": token},
    ):
        answer = await shop.post(f"/jobs/{job['jobId']}/invoice", headers=headers)

        assert answer.status == 201


async def test_a_token_without_the_right_to_spend_is_refused_before_its_body(shop):
    job = await shop.order()
    weak = to_bearer(attenuate(from_text(job["jobToken"]), "rights=read"))

    answer = await shop.post(f"/jobs/{job['jobId']}/cancel", headers={"X-Api-Key": weak})

    assert (answer.status, answer.code) == (403, "forbidden")


async def test_a_fresh_invoice_asks_for_the_same_and_the_old_one_still_counts(shop):
    job = await shop.order()

    answer = await shop.post(f"/jobs/{job['jobId']}/invoice", headers=bearer(job))
    await shop.pay(job["evalInvoice"])
    left = await shop.left(job, "awaiting_eval_payment")

    assert answer.status == 201
    assert answer.json["amountSats"] == job["evalInvoice"]["amountSats"]
    assert answer.json["paymentHash"] != job["evalInvoice"]["paymentHash"]
    assert left["state"] in {"evaluating", "awaiting_work_payment"}


async def test_a_cancelled_job_stays_cancelled(shop):
    job = await shop.order()
    path = f"/jobs/{job['jobId']}/cancel"

    answers = [
        await shop.post(path, headers=bearer(job)),
        await shop.post(path, headers=bearer(job), json={}),
    ]

    assert [answer.status for answer in answers] == [200, 200]
    assert answers[1].json["state"] == "failed"
    assert answers[1].json["errorCode"] == "cancelled"
    assert answers[1].json["evalInvoice"]["status"] == "expired"
    refused = await shop.post(f"/jobs/{job['jobId']}/invoice", headers=bearer(job))
    assert (refused.status, refused.code) == (409, "wrong_state")


async def test_a_deed_without_fields_takes_none_or_an_empty_object(shop):
    job = await shop.order()
    path = f"/jobs/{job['jobId']}/invoice"

    bodies = [b"", b"{}", b" {} ", b'{"a":1}', b"[]", b"null"]
    headers = bearer(job, **{"Content-Type": "application/json"})
    answers = [await shop.post(path, data=body, headers=headers) for body in bodies]

    assert [answer.status for answer in answers] == [201, 201, 201, 400, 400, 400]


async def test_a_wallet_that_is_down_is_a_503_that_says_when_to_come_back(open_shop, tmp_path):
    wallet = MoodyWallet.open(tmp_path, clock=SystemClock())
    shop = await open_shop(wallet=wallet)
    wallet.is_down = True

    answer = await shop.post("/jobs", json={"request": "x"})

    assert (answer.status, answer.code) == (503, "wallet_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


async def test_waiting_ends_when_the_state_is_another(shop):
    job = await shop.order()
    waiting = asyncio.create_task(shop.get(f"/jobs/{job['jobId']}?wait=20"))
    await asyncio.wait([waiting], timeout=0.2)
    assert not waiting.done()

    await shop.pay(job["evalInvoice"])
    answer = await asyncio.wait_for(waiting, 5)

    assert answer.json["state"] != "awaiting_eval_payment"


async def test_waiting_ends_at_once_when_the_state_is_another_already(shop):
    job = await shop.order()
    began = time.monotonic()

    answer = await shop.get(f"/jobs/{job['jobId']}?wait=20&state=executing")

    assert answer.json["state"] == "awaiting_eval_payment"
    assert time.monotonic() - began < 2


async def test_waiting_ends_when_its_time_is_over(shop):
    job = await shop.order()
    began = time.monotonic()

    answer = await shop.get(f"/jobs/{job['jobId']}?wait=1&state=awaiting_eval_payment")

    assert answer.json["state"] == "awaiting_eval_payment"
    assert 0.9 < time.monotonic() - began < 3


@pytest.mark.parametrize(
    "query",
    [
        "wait=61",
        "wait=-1",
        "wait=1.5",
        "wait=1e1",
        "wait=",
        "wait=+1",
        "wait=x",
        "wait=1&wait=2",
        "state=done",
        "state=",
        "state=%00",
        "wait=99999999999999999999",
    ],
)
async def test_a_wait_that_cannot_be_meant_is_a_400(shop, query):
    job = await shop.order()

    answer = await shop.get(f"/jobs/{job['jobId']}?{query}")

    assert (answer.status, answer.code) == (400, "invalid_request")
    assert (await shop.get(f"/jobs/{ABSENT}?{query}")).status == 404


async def test_a_parameter_that_nobody_knows_is_nobodys_business(shop):
    job = await shop.order()

    assert (await shop.get(f"/jobs/{job['jobId']}?utm_source=x")).status == 200


async def test_reading_needs_no_token_and_minds_no_bad_one(shop):
    job = await shop.order()

    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"X-Api-Key": "a", **bearer(job)}):
        assert (await shop.get(f"/jobs/{job['jobId']}", headers=headers)).status == 200


async def test_head_answers_as_get_does_but_without_a_body(shop):
    job = await shop.order()

    answer = await shop.ask("HEAD", f"/jobs/{job['jobId']}")

    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 100


async def test_with_a_public_address_every_invoice_has_a_page(open_shop):
    shop = await open_shop(SERVER__PUBLIC_URL="https://shop.example/bolt")

    ordered, job = await shop.quoted()

    pages = {job["evalInvoice"]["payUrl"], job["workInvoice"]["payUrl"]}
    assert len(pages) == 2
    assert ordered["evalInvoice"]["payUrl"] in pages
    assert all(re.fullmatch(r"https://shop\.example/bolt/pay/[\w-]{64}", page) for page in pages)
