"""A customer with a balance: opening, filling, reading and closing it over HTTP."""

import pytest

from core.values.clock import SystemClock
from tests.api.account import (
    ABSENT_SESSION,
    ALL_RIGHTS,
    POSTS,
    ROUTES,
    SORT,
    Account,
    account,
    all_but,
    credited,
)
from tests.api.actors import MoodyWallet

__all__ = ["account"]

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


@pytest.mark.parametrize(("method", "path", "fields", "right_needed"), POSTS)
async def test_fields_come_before_the_state(account, method, path, fields, right_needed):
    await account.delete("/sessions/me")

    wrong = await account.ask(method, path.format("me"), json={"surprise": 1})
    right = await account.ask(method, path.format("me"), json=fields)

    assert (wrong.status, wrong.code) == (400, "invalid_request")
    assert right.status == (409 if right_needed == "spend" else 201)


@pytest.mark.parametrize("path", ["/sessions/me/request", "/sessions/me/jobs"])
async def test_the_state_comes_before_the_limits_and_those_before_the_money(account, path):
    limits = ["models=another", "max_request_msat=5", "budget_msat=5;id=0123456789abcdef"]
    empty, _ = await Account.open(account.shop)
    fields = {"request": SORT}

    limited = [await account.narrowed(limit).post(path, fields) for limit in limits]
    poor = [await empty.narrowed(limit).post(path, fields) for limit in limits]
    await account.delete("/sessions/me")
    closed = [await account.narrowed(limit).post(path, fields) for limit in limits]

    assert [answer.status for answer in limited] == [403] * 3
    assert [answer.status for answer in poor] == [403] * 3
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
