"""A customer with a balance: opening, filling, reading and closing it over HTTP."""

import asyncio
import base64
from itertools import pairwise

import pytest

from core.values.clock import SystemClock
from tests.api.account import ABSENT_JOB, ABSENT_SESSION, ABSENT_TOKEN, SORT, Account
from tests.api.actors import MoodyWallet

# What one may ask of a session, with fields that are right; `{}` stands for its name.
ROUTES = [
    ("GET", "/sessions/{}", None, "read"),
    ("DELETE", "/sessions/{}", None, "read"),
    ("POST", "/sessions/{}/topup", {"amountSats": 100}, "topup"),
    ("GET", "/sessions/{}/ledger", None, "read"),
    ("POST", "/sessions/{}/jobs", {"request": SORT}, "spend"),
    ("GET", "/sessions/{}/jobs", None, "read"),
    ("POST", "/sessions/{}/tokens", {"label": "x"}, "manage"),
    ("GET", "/sessions/{}/tokens", None, "manage"),
    ("DELETE", f"/sessions/{{}}/tokens/{ABSENT_TOKEN}", None, None),
]
POSTS = [route for route in ROUTES if route[0] == "POST"]
ALL_RIGHTS = ("read", "spend", "topup", "withdraw", "manage")


def all_but(right):
    return "rights=" + ",".join(each for each in ALL_RIGHTS if each != right)


@pytest.fixture
async def account(shop):
    return await Account.filled(shop)


@pytest.fixture
async def shop_on(open_shop, database):
    """A shop on each kind of database."""
    return await open_shop(DATABASE__URL=database.url)


# Opening


async def test_opening_a_session_answers_what_the_contract_says(shop):
    answer = await shop.post("/sessions", json={"amountSats": 250})
    session = answer.json

    assert answer.status == 201
    assert set(session) == {"sessionId", "macaroon", "state", "depositInvoice"}
    assert session["state"] == "awaiting_deposit"
    invoice = session["depositInvoice"]
    assert (invoice["amountSats"], invoice["purpose"]) == (250, "deposit")
    assert invoice["status"] == "open"
    assert session["sessionId"][4:] not in invoice["paymentRequest"]


@pytest.mark.parametrize("path", ["/sessions", "/sessions/me/topup"])
@pytest.mark.parametrize(
    "fields",
    [
        {"amountSats": 99},
        {"amountSats": 1_000_001},
        {"amountSats": 0},
        {"amountSats": -100},
        {"amountSats": "100"},
        {"amountSats": 100.0},
        {"amountSats": True},
        {"amountSats": None},
        {"amountSats": 2**63},
        {"amount_sats": 100},
        {"amountSats": 100, "label": "x"},
        {},
        [],
    ],
)
async def test_an_amount_that_cannot_be_is_a_400(account, path, fields):
    answer = await account.post(path, fields)

    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize("sats", [100, 1_000_000])
async def test_least_and_largest_deposit_are_taken(shop, sats):
    account, opened = await Account.open(shop, sats)
    answer = await account.post("/sessions/me/topup", {"amountSats": sats})

    assert opened["depositInvoice"]["amountSats"] == sats
    assert answer.json["topupInvoice"]["amountSats"] == sats


async def test_opening_asks_for_no_credential_and_minds_no_bad_one(shop):
    for headers in ({}, {"X-Api-Key": "nonsense"}, {"Authorization": "Bearer a", "X-Api-Key": "b"}):
        answer = await shop.post("/sessions", json={"amountSats": 100}, headers=headers)

        assert answer.status == 201


async def test_a_wallet_that_is_down_opens_nothing(open_shop, tmp_path):
    wallet = MoodyWallet.open(tmp_path, clock=SystemClock())
    shop = await open_shop(wallet=wallet)
    account = await Account.filled(shop)
    wallet.is_down = True

    for path in ("/sessions", "/sessions/me/topup"):
        answer = await account.post(path, {"amountSats": 100})

        assert (answer.status, answer.code) == (503, "wallet_unavailable")
        assert int(answer.headers["Retry-After"]) > 0


async def test_who_leaves_too_many_invoices_unpaid_gets_no_more(open_shop):
    shop = await open_shop(LIMITS__OPEN_INVOICES_PER_CLIENT="2")
    account, _ = await Account.open(shop)
    assert (await account.post("/sessions/me/topup", {"amountSats": 100})).status == 201

    for path in ("/sessions", "/sessions/me/topup"):
        answer = await account.post(path, {"amountSats": 100})

        assert (answer.status, answer.code) == (429, "rate_limited")
        assert int(answer.headers["Retry-After"]) > 0


# Before and after the deposit


async def test_before_the_deposit_one_may_read_top_up_and_close(shop):
    account, opened = await Account.open(shop)

    session = await account.session()

    assert session["state"] == "awaiting_deposit"
    assert session["openInvoices"] == [opened["depositInvoice"]]
    assert (await account.get("/sessions/me/ledger")).json["items"] == []
    assert (await account.post("/sessions/me/topup", {"amountSats": 100})).status == 201
    assert (await account.delete("/sessions/me")).json["state"] == "closed"


async def test_before_the_deposit_spending_is_a_402_over_the_deposit(shop):
    account, opened = await Account.open(shop)

    answer = await account.post("/sessions/me/jobs", {"request": SORT})

    assert (answer.status, answer.code) == (402, "insufficient_balance")
    assert answer.json["payment"] == opened["depositInvoice"]
    assert (answer.json["balanceMsat"], answer.json["neededMsat"]) == (0, 21_000)
    assert answer.headers["WWW-Authenticate"].startswith('L402 macaroon="')


async def test_the_token_works_as_soon_as_the_deposit_is_paid(shop):
    account, opened = await Account.open(shop)
    await shop.pay(opened["depositInvoice"])

    assert (await account.post("/sessions/me/jobs", {"request": SORT})).status == 201


async def test_a_session_says_what_the_contract_says(shop):
    account = await Account.filled(shop, 1_000)
    await account.worked()

    session = await account.session()

    assert set(session) == {
        "sessionId",
        "state",
        "balanceMsat",
        "heldMsat",
        "spentMsat",
        "depositedMsat",
        "openInvoices",
        "createdAt",
        "expiresAt",
    }
    assert session["state"] == "active"
    assert session["balanceMsat"] + session["spentMsat"] == session["depositedMsat"] == 1_000_000
    assert (session["heldMsat"], session["openInvoices"], session["expiresAt"]) == (0, [], None)


async def test_a_top_up_is_credited_and_says_so(account):
    answer = await account.post("/sessions/me/topup", {"amountSats": 300})
    invoice = answer.json["topupInvoice"]
    before = await account.session()
    await account.shop.pay(invoice)

    after = await credited(account, 1_300_000)

    assert answer.status == 201
    assert set(answer.json) == {"topupInvoice"}
    assert (invoice["amountSats"], invoice["purpose"]) == (300, "topup")
    assert before["openInvoices"] == [invoice]
    assert (after["openInvoices"], after["depositedMsat"]) == ([], 1_300_000)


async def credited(account, balance_msat):
    """The session as soon as it has this balance."""
    async with asyncio.timeout(5):
        while (session := await account.session())["balanceMsat"] != balance_msat:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return session


async def test_a_top_up_activates_a_session_whose_deposit_was_never_paid(shop):
    account, _ = await Account.open(shop)
    topped_up = await account.post("/sessions/me/topup", {"amountSats": 100})
    await shop.pay(topped_up.json["topupInvoice"])

    assert (await credited(account, 100_000))["state"] == "active"


# Whose session


async def test_me_is_the_session_of_the_credential(account):
    session = await account.session()
    name = session["sessionId"]

    for path in ("", "/ledger", "/jobs", "/tokens"):
        mine = await account.get(f"/sessions/me{path}")
        named = await account.get(f"/sessions/{name}{path}")

        assert (mine.status, mine.body) == (200, named.body)
    assert (await account.post(f"/sessions/{name}/topup", {"amountSats": 100})).status == 201


@pytest.mark.parametrize(("method", "path", "fields", "_right"), ROUTES)
async def test_absent_malformed_and_foreign_sessions_get_the_same_404(
    account, method, path, fields, _right
):
    other = await Account.filled(account.shop)
    foreign = (await other.session())["sessionId"]
    names = [ABSENT_SESSION, foreign, foreign.lower(), "nonsense", "ME", "%00", "%ED%A0%80"]

    answers = [await account.ask(method, path.format(name), json=fields) for name in names]

    assert {(answer.status, answer.code) for answer in answers} == {(404, "not_found")}
    assert len({answer.json["detail"] for answer in answers}) == 1
    assert (await other.session())["state"] == "active"


# The order of the checks


async def test_every_route_asks_for_a_credential_first(account):
    job = await account.shop.order()
    wrong = [{}, {"Authorization": "Bearer"}, {"X-Api-Key": "x"}, {"X-Api-Key": job["jobToken"]}]
    answers = [
        await account.shop.ask(method, path.format("me"), data=b"[", headers={**headers, **JSON})
        for method, path, _, _ in ROUTES
        for headers in wrong
    ]

    assert {(answer.status, answer.code) for answer in answers} == {(401, "unauthorized")}
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {"Bearer"}


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(("method", "path", "_fields", "_right"), POSTS)
async def test_size_and_media_type_come_before_the_credential(shop, method, path, _fields, _right):
    large = await shop.ask(method, path.format("me"), data=b" " * 65_537, headers=JSON)
    text = await shop.ask(method, path.format("me"), data=b"{}", headers={"Content-Type": "a/b"})

    assert (large.status, large.code) == (413, "body_too_large")
    assert (text.status, text.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(("method", "path", "fields", "right"), ROUTES[:-1])
async def test_whose_it_is_comes_before_the_right_and_that_before_the_fields(
    account, method, path, fields, right
):
    weak = account.narrowed(all_but(right))
    wrong = None if fields is None else {"surprise": 1}
    query = "?limit=0" if method == "GET" else ""

    foreign = await weak.ask(method, path.format(ABSENT_SESSION) + query, json=wrong)
    lacking = await weak.ask(method, path.format("me") + query, json=wrong)

    assert (foreign.status, foreign.code) == (404, "not_found")
    assert (lacking.status, lacking.code) == (403, "forbidden")


@pytest.mark.parametrize(("method", "path", "fields", "_right"), POSTS)
async def test_fields_come_before_the_state(account, method, path, fields, _right):
    await account.delete("/sessions/me")

    wrong = await account.ask(method, path.format("me"), json={"surprise": 1})
    right = await account.ask(method, path.format("me"), json=fields)

    assert (wrong.status, wrong.code) == (400, "invalid_request")
    assert right.status == (409 if path.endswith("/jobs") else 201)


async def test_the_state_comes_before_the_limits_and_those_before_the_money(account):
    narrow = [
        account.narrowed("models=another"),
        account.narrowed("max_request_msat=20999"),
        account.narrowed("budget_msat=20999;id=0123456789abcdef"),
    ]
    empty, _ = await Account.open(account.shop)

    limited = [await each.post("/sessions/me/jobs", {"request": SORT}) for each in narrow]
    poor = await empty.narrowed("max_request_msat=20999").post(
        "/sessions/me/jobs", {"request": SORT}
    )
    await account.delete("/sessions/me")
    closed = [await each.post("/sessions/me/jobs", {"request": SORT}) for each in narrow]

    assert [answer.status for answer in limited] == [403] * 3
    assert poor.status == 403
    assert [answer.status for answer in closed] == [409] * 3


@pytest.mark.parametrize("path", ["/sessions", "/sessions/me", "/sessions/me/jobs"])
async def test_other_methods_are_405(account, path):
    answer = await account.ask("PUT", path, json={})

    assert (answer.status, answer.code) == (405, "method_not_allowed")


# Closing


async def test_a_closed_session_stays_readable_and_is_closed_once(account):
    first = await account.delete("/sessions/me")
    again = await account.delete("/sessions/me")

    assert (first.status, first.json["state"]) == (200, "closed")
    assert (again.status, again.body) == (200, first.body)
    for path in ("", "/ledger", "/jobs", "/tokens"):
        assert (await account.get(f"/sessions/me{path}")).status == 200


async def test_what_is_paid_into_a_closed_session_is_credited_and_opens_nothing(shop):
    account, opened = await Account.open(shop)
    await account.delete("/sessions/me")
    await shop.pay(opened["depositInvoice"])

    session = await credited(account, 1_000_000)

    assert session["state"] == "closed"
    assert (await account.post("/sessions/me/jobs", {"request": SORT})).code == "wrong_state"


async def test_closing_needs_a_token_without_any_limit(account):
    child, _ = await account.child(rights=list(ALL_RIGHTS), maxRequestMsat=10**9)
    second, _ = await account.child(rights=list(ALL_RIGHTS))

    for weak in (child, account.narrowed("rights=" + ",".join(ALL_RIGHTS))):
        answer = await weak.delete("/sessions/me")
        assert (answer.status, answer.code) == (403, "forbidden")
    assert (await second.delete("/sessions/me")).json["state"] == "closed"


# The same request again


@pytest.mark.parametrize(("method", "path", "fields", "_right"), POSTS)
async def test_the_same_request_gets_the_same_answer(shop_on, method, path, fields, _right):
    account = await Account.filled(shop_on)
    key = {"Idempotency-Key": "k"}

    first = await account.ask(method, path.format("me"), json=fields, headers=key)
    again = await account.ask(method, path.format("me"), json=fields, headers=key)
    other = await account.ask(method, path.format("me"), json={**fields, "x": 1}, headers=key)

    assert (first.status, again.status, again.body) == (201, 201, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status, other.code) == (422, "idempotency_key_reused")


async def test_a_session_is_opened_once_under_a_key(shop_on):
    key = {"Idempotency-Key": "a-key-of-one-customer"}

    first = await shop_on.post("/sessions", json={"amountSats": 100}, headers=key)
    again = await shop_on.post("/sessions", json={"amountSats": 100}, headers=key)
    short = await shop_on.post(
        "/sessions", json={"amountSats": 100}, headers={"Idempotency-Key": "short"}
    )

    assert (first.status, again.body) == (201, first.body)
    assert short.status == 400


async def test_many_at_once_under_one_key_are_charged_once(shop_on):
    account = await Account.filled(shop_on)
    fields, key = {"request": SORT}, {"Idempotency-Key": "k"}

    answers = await asyncio.gather(
        *(account.post("/sessions/me/jobs", fields, headers=key) for _ in range(50))
    )

    assert len({answer.body for answer in answers if answer.status == 201}) == 1
    others = [answer for answer in answers if answer.status != 201]
    assert {answer.code for answer in others} <= {"request_in_progress"}
    assert len((await account.get("/sessions/me/jobs")).json["items"]) == 1


async def test_a_key_belongs_to_a_token_with_its_copies(account):
    child, _ = await account.child(rights=["read", "spend"])
    key = {"Idempotency-Key": "k"}

    first = await account.post("/sessions/me/jobs", {"request": SORT}, headers=key)
    by_child = await child.post("/sessions/me/jobs", {"request": SORT}, headers=key)
    by_copy = await account.narrowed("max_request_msat=50000").post(
        "/sessions/me/jobs", {"request": SORT}, headers=key
    )

    assert by_child.json["jobId"] != first.json["jobId"]
    assert by_copy.body == first.body


async def test_the_stored_answer_comes_before_state_limits_and_money(account):
    key = {"Idempotency-Key": "k"}
    first = await account.post("/sessions/me/jobs", {"request": SORT}, headers=key)
    await account.delete("/sessions/me")

    again = await account.post("/sessions/me/jobs", {"request": SORT}, headers=key)
    unknown = await account.shop.post("/sessions/me/jobs", json={"request": SORT}, headers=key)

    assert (again.status, again.body) == (201, first.body)
    assert unknown.status == 401


async def test_while_the_first_runs_the_second_is_told_to_come_back(open_shop, tmp_path):
    wallet = MoodyWallet.open(tmp_path, clock=SystemClock())
    account = await Account.filled(await open_shop(wallet=wallet))
    wanted, go_on = wallet.slow_down()
    fields, key = {"amountSats": 100}, {"Idempotency-Key": "k"}
    first = asyncio.create_task(account.post("/sessions/me/topup", fields, headers=key))
    await asyncio.wait_for(wanted.wait(), 5)

    second = await account.post("/sessions/me/topup", fields, headers=key)
    go_on.set()

    assert (second.status, second.code) == (409, "request_in_progress")
    assert second.headers["Retry-After"] == "1"
    assert (await first).status == 201


async def test_what_was_refused_has_freed_its_key(shop):
    account, opened = await Account.open(shop)
    fields, key = {"request": SORT}, {"Idempotency-Key": "k"}
    refused = await account.post("/sessions/me/jobs", fields, headers=key)
    await shop.pay(opened["depositInvoice"])

    served = await account.post("/sessions/me/jobs", fields, headers=key)

    assert (refused.status, served.status) == (402, 201)
    assert "Idempotency-Replayed" not in served.headers


# Jobs of a session


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


# Lists, page by page


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_the_account_adds_up_page_by_page(shop_on, limit):
    account = await Account.filled(shop_on)
    for _ in range(5):
        await account.worked()
    topped_up = await account.post("/sessions/me/topup", {"amountSats": 100})
    balance_msat = (await account.session())["balanceMsat"] + 100_000
    await shop_on.pay(topped_up.json["topupInvoice"])
    await credited(account, balance_msat)

    pages = await account.pages("/sessions/me/ledger", limit)

    entries = [entry for page in pages for entry in page]
    assert {len(page) for page in pages[:-1]} <= {limit}
    assert [entry["kind"] for entry in entries] == ["topup", *["charge"] * 10, "deposit"]
    assert len({entry["entryId"] for entry in entries}) == 12
    assert sum(entry["amountMsat"] for entry in entries) == balance_msat
    for newer, older in pairwise(entries):
        assert newer["balanceMsat"] == older["balanceMsat"] + newer["amountMsat"]
        assert newer["at"] >= older["at"]
    assert entries[0]["balanceMsat"] == balance_msat


async def test_jobs_are_listed_page_by_page_newest_first(shop_on):
    account = await Account.filled(shop_on)
    ordered = [(await account.order())["jobId"] for _ in range(7)]

    pages = await account.pages("/sessions/me/jobs", 3)

    assert [len(page) for page in pages] == [3, 3, 1]
    listed = [job for page in pages for job in page]
    assert sorted(job["jobId"] for job in listed) == sorted(ordered)
    times = [job["createdAt"] for job in listed]
    assert times == sorted(times, reverse=True)


async def test_what_comes_meanwhile_moves_no_page(shop_on):
    account = await Account.filled(shop_on)
    for _ in range(4):
        await account.order()
    paths = ["/sessions/me/jobs", "/sessions/me/ledger"]
    before = [(await account.pages(path, 100))[0] for path in paths]
    firsts = [await account.get(f"{path}?limit=2") for path in paths]

    await account.order()

    for path, known, first in zip(paths, before, firsts, strict=True):
        rest = await account.get(f"{path}?limit=100&cursor={first.json['nextCursor']}")
        names = ["jobId" if "jobId" in item else "entryId" for item in known]
        shown = first.json["items"] + rest.json["items"]
        assert [item[name] for item, name in zip(shown, names, strict=True)] == [
            item[name] for item, name in zip(known, names, strict=True)
        ]


def cursor(text):
    return base64.urlsafe_b64encode(text.encode("latin-1")).decode().rstrip("=")


NO_PAGES = [
    "limit=0",
    "limit=101",
    "limit=-1",
    "limit=1.0",
    "limit=1e1",
    "limit=",
    "limit=1&limit=2",
    "cursor=",
    "cursor=!",
    "cursor=A",
    "cursor=%00",
    f"cursor={cursor('x')}",
    f"cursor={cursor('-1')}",
    f"cursor={cursor('1' * 30)}",
    f"cursor={cursor('1 ' + chr(0))}",
    f"cursor={cursor('1 x')}",
    f"cursor={cursor('1 job_')}",
    f"cursor={cursor(chr(0xB2))}",
]


@pytest.mark.parametrize("name", ["ledger", "jobs", "tokens"])
async def test_a_page_that_cannot_be_meant_is_a_400(shop_on, name):
    account = await Account.filled(shop_on)

    answers = {query: await account.get(f"/sessions/me/{name}?{query}") for query in NO_PAGES}

    assert {query for query, answer in answers.items() if answer.status != 400} == set()
    assert {answer.code for answer in answers.values()} == {"invalid_request"}


async def test_a_cursor_of_another_list_is_none(account):
    await account.worked()
    await account.worked()
    await account.child()
    names = ["ledger", "jobs", "tokens"]
    answers = [await account.get(f"/sessions/me/{name}?limit=1") for name in names]
    cursors = [answer.json["nextCursor"] for answer in answers]

    for name in names:
        for other, given in zip(names, cursors, strict=True):
            answer = await account.get(f"/sessions/me/{name}?limit=1&cursor={given}")
            assert answer.status == (200 if name == other else 400)
