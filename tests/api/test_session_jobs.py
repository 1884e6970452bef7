"""Jobs that a session pays: ordered, accepted and cancelled over HTTP."""

import pytest

from tests.api.account import ABSENT_JOB, SORT, Account, account, all_but
from tests.desk.crowd import fill_the_queue

__all__ = ["account"]


async def test_a_job_of_a_session_goes_by_itself_to_its_result(account):
    ordered = await account.order(maxPriceSats=100, metadata={"order": "7"})

    done = await account.worked(metadata={"order": "7"})

    assert (ordered["state"], ordered["evalInvoice"]) == ("evaluating", None)
    assert (done["result"], done["metadata"]) == ("Adam, Zoe", {"order": "7"})
    assert (done["evalInvoice"], done["workInvoice"], done["refunds"]) == (None, None, [])
    assert (await account.shop.get(f"/jobs/{done['jobId']}")).json == done


async def test_above_its_maximum_a_job_waits_for_accept(account):
    job = await account.quoted(maxPriceSats=0)
    path = f"/jobs/{job['jobId']}/accept"

    answer = await account.post(path, {})
    again = await account.post(path)

    assert job["state"] == "awaiting_work_payment"
    assert (answer.status, answer.json["state"]) == (200, "executing")
    assert (again.status, again.code) == (409, "wrong_state")
    assert (await account.shop.left(job, "executing"))["state"] == "complete"


async def test_accepting_under_a_key_pays_once(account):
    job = await account.quoted()
    path, key = f"/jobs/{job['jobId']}/accept", {"Idempotency-Key": "k"}

    first = await account.post(path, headers=key)
    again = await account.post(path, headers=key)

    assert (first.status, again.status, again.body) == (200, 200, first.body)
    price, fee = job["quote"]["priceSats"], 21
    assert (await account.session())["balanceMsat"] == (1_000 - price - fee) * 1_000


async def test_what_is_missing_for_the_price_is_asked_for(shop):
    account = await Account.filled(shop, 100)
    spent_on = [await account.quoted() for _ in range(4)]

    answers = [await account.post(f"/jobs/{job['jobId']}/accept") for job in spent_on]

    assert [answer.status for answer in answers] == [200, 402, 402, 402]
    assert answers[1].code == "insufficient_balance"
    price_msat = spent_on[0]["quote"]["priceSats"] * 1_000
    assert answers[1].json["neededMsat"] == price_msat
    assert answers[1].json["balanceMsat"] == 16_000 - price_msat
    assert answers[1].json["payment"]["amountSats"] == 100
    assert answers[1].json["payment"] == answers[2].json["payment"]
    await shop.pay(answers[1].json["payment"])
    assert (await account.post(f"/jobs/{spent_on[1]['jobId']}/accept")).status == 200


async def test_a_job_in_a_session_is_cancelled_by_its_session(account):
    job = await account.quoted()

    answer = await account.post(f"/jobs/{job['jobId']}/cancel")
    again = await account.post(f"/jobs/{job['jobId']}/cancel")

    assert (answer.status, answer.json["errorCode"]) == (200, "cancelled")
    assert (again.status, again.json) == (200, answer.json)


@pytest.mark.parametrize("deed", ["accept", "cancel"])
async def test_jobs_that_are_not_the_sessions_own_get_the_same_404(account, deed):
    other = await Account.filled(account.shop)
    mine, foreign = await account.quoted(), await other.quoted()
    one_off, _ = await account.shop.quoted()
    by_job_token = Account(account.shop, one_off["jobToken"])
    names = [ABSENT_JOB, "nonsense", "%00", foreign["jobId"], one_off["jobId"]]

    answers = [await account.post(f"/jobs/{name}/{deed}") for name in names]
    answers.append(await by_job_token.post(f"/jobs/{mine['jobId']}/{deed}"))

    assert {(answer.status, answer.code) for answer in answers} == {(404, "not_found")}
    assert len({answer.json["detail"] for answer in answers}) == 1


@pytest.mark.parametrize("deed", ["accept", "cancel"])
async def test_a_deed_on_a_job_is_checked_in_order(account, deed):
    job = await account.quoted()
    weak = account.narrowed(all_but("spend"))
    path, fields = f"/jobs/{job['jobId']}/{deed}", {"surprise": 1}

    nobody = await account.shop.post(path, json=fields)
    absent = await weak.post(f"/jobs/{ABSENT_JOB}/{deed}", fields)
    lacking = await weak.post(path, fields)
    wrong = await account.post(path, fields)

    assert [nobody.status, absent.status, lacking.status, wrong.status] == [401, 404, 403, 400]


async def test_a_sessions_job_has_no_invoice_to_renew(account):
    job = await account.quoted()

    answer = await account.post(f"/jobs/{job['jobId']}/invoice")

    assert (answer.status, answer.code) == (409, "wrong_state")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, "/request"),
        ({"request": ""}, "/request"),
        ({"request": "x" * 16_001}, "/request"),
        ({"request": SORT, "maxPriceSats": -1}, "/maxPriceSats"),
        ({"request": SORT, "maxPriceSats": "1"}, "/maxPriceSats"),
        ({"request": SORT, "refundTo": "a@b.example"}, "/refundTo"),
        ({"request": SORT, "metadata": {"a": 1}}, "/metadata/a"),
        ({"request": SORT, "metadata": {str(n): "" for n in range(17)}}, "/metadata"),
        ({"request": SORT, "metadata": {"a": "x" * 513}}, "/metadata/a"),
    ],
)
async def test_a_wrong_field_of_an_order_is_a_400_that_points_at_it(account, fields, pointer):
    answer = await account.post("/sessions/me/jobs", fields)

    assert (answer.status, answer.code) == (400, "invalid_request")
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]


async def test_a_free_evaluation_of_a_session_counts_as_any_other(open_shop):
    shop = await open_shop(PRICING__EVAL_FEE_SATS="0", LIMITS__FREE_EVALUATIONS_PER_HOUR="2")
    account = await Account.filled(shop)
    await account.worked()
    await account.worked()

    answer = await account.post("/sessions/me/jobs", {"request": SORT})

    assert (answer.status, answer.code) == (429, "rate_limited")


async def test_closing_cancels_what_waits_and_finishes_what_is_paid(account):
    waiting = await account.quoted()
    await account.delete("/sessions/me")

    job = (await account.shop.get(f"/jobs/{waiting['jobId']}")).json
    refused = await account.post(f"/jobs/{waiting['jobId']}/accept")

    assert (job["state"], job["errorCode"]) == ("failed", "cancelled")
    assert (refused.status, refused.code) == (409, "wrong_state")


async def test_what_the_customer_can_cure_is_said_before_that_the_queue_is_full(shop):
    account, poor = await Account.filled(shop), await Account.filled(shop, 100)
    for _ in range(4):
        await poor.order()  # 16 sats are left
    gone = await Account.filled(shop)
    await gone.delete("/sessions/me")
    await shop.core.store.write(fill_the_queue, 2**50)
    order = {"request": SORT}

    answers = [
        await account.narrowed("rights=read").post("/sessions/me/jobs", order),
        await account.post("/sessions/me/jobs", {"request": ""}),
        await gone.post("/sessions/me/jobs", order),
        await account.narrowed("max_request_msat=1").post("/sessions/me/jobs", order),
        await poor.post("/sessions/me/jobs", order),
        await account.post("/sessions/me/jobs", order),
    ]

    assert [answer.status for answer in answers] == [403, 400, 409, 403, 402, 503]
    assert answers[-1].code == "queue_full"
    assert (await account.session())["balanceMsat"] == 1_000_000


async def test_what_the_customer_can_cure_is_said_before_that_nothing_is_sold(shop):
    account, gone = await Account.filled(shop), await Account.filled(shop)
    await gone.delete("/sessions/me")
    capped, order = account.narrowed("max_request_msat=1"), {"request": SORT}
    shop.core.gate.intake.stop("operator", "says the test")

    for path in ("/sessions/me/request", "/sessions/me/jobs"):
        answers = [
            await account.post(path, {"request": ""}),
            await gone.post(path, order),
            await capped.post(path, order),
            await account.post(path, order),
        ]

        assert [answer.status for answer in answers] == [400, 409, 403, 503]
        assert answers[-1].code == "paused"
    session = await account.session()
    assert (session["balanceMsat"], session["heldMsat"]) == (1_000_000, 0)


async def test_a_price_that_cannot_be_paid_is_said_before_that_nothing_is_sold(shop):
    account, poor = await Account.filled(shop), await Account.filled(shop, 100)
    waiting, done = await account.quoted(), await account.worked()
    cheap, too_dear, *_ = [await poor.quoted() for _ in range(4)]
    await poor.post(f"/jobs/{cheap['jobId']}/accept")  # 5 sats are left
    paths = [f"/jobs/{job['jobId']}/accept" for job in (done, waiting, too_dear, waiting)]
    whose = [account, account.narrowed("max_request_msat=1"), poor, account]
    asked_before = await poor.post(paths[2])
    shop.core.gate.intake.stop("operator", "says the test")

    answers = [await one.post(path) for one, path in zip(whose, paths, strict=True)]

    assert [answer.status for answer in answers] == [409, 403, 402, 503]
    assert answers[2].json["payment"] == asked_before.json["payment"]
    assert answers[3].code == "paused"
    job = (await shop.get(f"/jobs/{waiting['jobId']}")).json
    assert job["state"] == "awaiting_work_payment"
