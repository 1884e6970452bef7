"""Claim links over HTTP: who sees them, and how any wallet claims with one, once."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest

from core.books import refunds
from core.books.audit import audit
from core.books.refunds import Debt
from core.values.bech32 import decode, to_octets
from core.values.claims import base_of_links
from core.values.money import from_sats
from core.values.terms import FeeRule
from tests.api.test_payouts import bearing, ended, filled_session, job_that_owes, somebodys_invoice

PUBLIC_URL = "https://shop.example/bolt"


@pytest.fixture
async def shop(open_shop, database):
    """A shop that wallets can be led to, on each kind of database."""
    return await open_shop(SERVER__PUBLIC_URL=PUBLIC_URL, DATABASE__URL=database.url)


async def refund_seen_with(shop, ordered, **headers):
    """The job's one refund. Once it is paid there may be two: unused routing fee is a new debt."""
    [refund] = (await shop.get(f"/jobs/{ordered['jobId']}", headers=headers)).json["refunds"]
    return refund


async def link_of(shop, ordered):
    """The path that the job's link leads to."""
    seen = await refund_seen_with(shop, ordered, **bearing(ordered["jobToken"]))
    hrp, words = decode(seen["claimLnurl"], length_max=2_000)
    url = to_octets(words).decode()
    assert (hrp, url.startswith(f"{PUBLIC_URL}/lnurl/withdraw/")) == ("lnurl", True)
    return urlsplit(url).path.removeprefix("/bolt")


async def claim(shop, k1, pr):
    answer = await shop.get("/lnurl/callback", params={"k1": k1, "pr": pr})
    assert answer.status == 200
    return answer.json


def is_error(said):
    return said["status"] == "ERROR" and bool(said["reason"]) and len(said) == 2


async def test_a_link_is_claimed_once_with_an_invoice_of_its_amount(shop):
    ordered = await job_that_owes(shop)
    due = await refund_seen_with(shop, ordered, **bearing(ordered["jobToken"]))
    offer = (await shop.get(await link_of(shop, ordered))).json

    first = await claim(shop, offer["k1"], await somebodys_invoice(shop, 16))
    second = await claim(shop, offer["k1"], await somebodys_invoice(shop, 16))

    assert offer == {
        "tag": "withdrawRequest",
        "callback": f"{PUBLIC_URL}/lnurl/callback",
        "k1": offer["k1"],
        "defaultDescription": "Refund",
        "minWithdrawable": 16_000,
        "maxWithdrawable": 16_000,
    }
    assert first == {"status": "OK"}
    assert is_error(second)
    assert (await ended(shop, due, ordered["jobToken"]))["state"] == "paid"
    assert await shop.core.store.read(audit) == []


async def test_of_twenty_claims_at_once_one_is_paid(shop):
    ordered = await job_that_owes(shop)
    due = await refund_seen_with(shop, ordered, **bearing(ordered["jobToken"]))
    offer = (await shop.get(await link_of(shop, ordered))).json
    texts = [await somebodys_invoice(shop, 16) for _ in range(20)]

    said = await asyncio.gather(*(claim(shop, offer["k1"], text) for text in texts))

    assert sorted(one["status"] for one in said) == ["ERROR"] * 19 + ["OK"]
    assert (await ended(shop, due, ordered["jobToken"]))["state"] == "paid"
    assert await shop.core.store.read(audit) == []


async def test_a_used_link_offers_nothing(shop):
    ordered = await job_that_owes(shop)
    path = await link_of(shop, ordered)
    to, token = {"to": await somebodys_invoice(shop, 16)}, bearing(ordered["jobToken"])
    sent = (await shop.post(f"/jobs/{ordered['jobId']}/refund", json=to, headers=token)).json

    after = await shop.get(path)
    seen = (await shop.get(f"/refunds/{sent['refundId']}", headers=token)).json

    assert (after.status, is_error(after.json)) == (200, True)
    assert (seen["claimLnurl"], seen["destination"]) == (None, to["to"])


async def test_while_a_payout_of_the_job_runs_its_newer_debt_cannot_be_claimed(shop):
    ordered = await job_that_owes(shop)
    job_id = ordered["jobId"]
    await shop.core.store.write(put_on_its_way, job_id)
    debt, rule = Debt(own=from_sats(21)), FeeRule(1, 5)
    await shop.core.store.write(refunds.owe, job_id, debt, rule, 0)
    seen = (await shop.get(f"/jobs/{job_id}", headers=bearing(ordered["jobToken"]))).json
    [link] = [refund["claimLnurl"] for refund in seen["refunds"] if refund["state"] == "due"]
    k1 = to_octets(decode(link, length_max=2_000)[1]).decode().rpartition("/")[2]

    said = await claim(shop, k1, await somebodys_invoice(shop, 16))

    assert is_error(said)
    assert "on its way" in said["reason"]


async def put_on_its_way(tx, job_id):
    """As if the wallet had been told to pay, and had not yet said how that ended."""
    await tx.run(
        "UPDATE refunds SET state = 'unknown', claim_id = NULL WHERE account_id = :job_id",
        job_id=job_id,
    )


async def test_a_claim_that_cannot_be_paid_is_an_error_and_leaves_the_link_good(shop):
    ordered = await job_that_owes(shop)
    k1 = (await shop.get(await link_of(shop, ordered))).json["k1"]
    right = await somebodys_invoice(shop, 16)
    bad = [
        (k1, await somebodys_invoice(shop, 17)),
        (k1, ordered["evalInvoice"]["paymentRequest"]),
        (k1, "lnbc1nonsense"),
        (k1, "alice@example.org"),
        (k1, "x" * 5_000),
        (k1, ""),
        (k1[:-1] + ("0" if k1[-1] != "0" else "1"), right),
        ("0" * 64, right),
        ("../x", right),
    ]

    said = [await claim(shop, *one) for one in bad]
    without = [(await shop.get(f"/lnurl/callback{query}")).json for query in ("", f"?k1={k1}")]

    assert all(map(is_error, [*said, *without]))
    assert await claim(shop, k1, right) == {"status": "OK"}


async def test_what_a_wallet_says_beside_is_ignored_and_head_claims_nothing(shop):
    ordered = await job_that_owes(shop)
    k1 = (await shop.get(await link_of(shop, ordered))).json["k1"]
    params = {"k1": k1, "pr": await somebodys_invoice(shop, 16), "balanceNotify": "https://x.y"}

    head = await shop.ask("HEAD", "/lnurl/callback", params=params)
    said = await shop.get("/lnurl/callback", params=params)

    assert (head.status, said.json) == (405, {"status": "OK"})


async def test_an_unknown_link_is_an_error(shop):
    for k1 in ("0" * 64, "x", "%00"):
        answer = await shop.get(f"/lnurl/withdraw/{k1}")

        assert (answer.status, is_error(answer.json)) == (200, True)


# Who sees it


async def test_link_and_destination_are_shown_to_the_job_s_token_alone(shop):
    ordered, other = await job_that_owes(shop), await shop.order()
    session = await filled_session(shop)
    strangers = [
        {},
        bearing(other["jobToken"]),
        bearing(session["macaroon"]),
        bearing("nonsense"),
        {"Authorization": "Basic eDp5"},
    ]

    seen = [await refund_seen_with(shop, ordered, **stranger) for stranger in strangers]
    own = await refund_seen_with(shop, ordered, **bearing(ordered["jobToken"]))

    assert [(one["claimLnurl"], one["destination"]) for one in seen] == [(None, None)] * 5
    assert own["claimLnurl"].startswith("lnurl1")
    assert {**own, "claimLnurl": None} == seen[0]


async def test_the_refund_s_own_route_shows_the_same_link(shop):
    ordered = await job_that_owes(shop)
    seen = await refund_seen_with(shop, ordered, **bearing(ordered["jobToken"]))

    answer = await shop.get(f"/refunds/{seen['refundId']}", headers=bearing(ordered["jobToken"]))

    assert answer.json == seen


async def test_the_events_show_the_link_to_the_job_s_token_alone(shop):
    ordered = await job_that_owes(shop)

    found = []
    for headers in ({}, bearing("nonsense"), bearing(ordered["jobToken"])):
        answer = await shop.get(f"/jobs/{ordered['jobId']}/events", headers=headers)
        last = [line for line in answer.body.splitlines() if line.startswith(b"data: ")][-1]
        [refund] = json.loads(last.removeprefix(b"data: "))["refunds"]
        found.append(refund["claimLnurl"])

    assert found[:2] == [None, None]
    assert found[2].startswith("lnurl1")


async def job_that_was_given_back(shop):
    """A session's job with a credited refund, the session's token, and one that only reads."""
    session = await filled_session(shop)
    token = bearing(session["macaroon"])
    order = {"label": "reader", "rights": ["read", "spend"]}
    made = await shop.post("/sessions/me/tokens", json=order, headers=token)
    job = (await shop.post("/sessions/me/jobs", json={"request": "Sort: b, a"}, headers=token)).json
    await shop.core.store.write(give_back, job["jobId"], session["sessionId"])
    return session["sessionId"], job, token, bearing(made.json["macaroon"])


async def test_what_a_session_s_job_got_back_is_told_to_who_may_withdraw(shop):
    session_id, job, token, reader = await job_that_was_given_back(shop)

    seen = [
        (await refund_seen_with(shop, job, **headers))["destination"]
        for headers in ({}, reader, token)
    ]

    assert seen == [None, None, session_id]


async def test_in_a_list_of_jobs_what_came_back_is_told_to_who_may_withdraw(shop):
    session_id, _, token, reader = await job_that_was_given_back(shop)

    pages = [await shop.get("/sessions/me/jobs", headers=headers) for headers in (reader, token)]

    shown = [page.json["items"][0]["refunds"] for page in pages]
    assert [refund["destination"] for [refund] in shown] == [None, session_id]


async def give_back(tx, job_id, session_id):
    await refunds.credit(tx, job_id, from_sats(21), session_id, 0)


async def test_what_is_too_little_to_be_sent_has_no_link(shop):
    ordered = await shop.order()
    await shop.post(f"/jobs/{ordered['jobId']}/cancel", headers=bearing(ordered["jobToken"]))
    debt = Debt(own=from_sats(14))
    await shop.core.store.write(refunds.owe, ordered["jobId"], debt, FeeRule(1, 5), 0)

    seen = await refund_seen_with(shop, ordered, **bearing(ordered["jobToken"]))

    assert (seen["amountMsat"], seen["claimLnurl"]) == (9_000, None)


async def test_a_server_without_a_public_address_has_no_links(open_shop):
    shop = await open_shop()
    ordered = await job_that_owes(shop)

    seen = await refund_seen_with(shop, ordered, **bearing(ordered["jobToken"]))

    assert seen["claimLnurl"] is None


@pytest.mark.parametrize(
    ("public_url", "base"),
    [
        ("https://shop.example/", "https://shop.example"),
        ("https://shop.example:8443/bolt", "https://shop.example:8443/bolt"),
        ("http://" + "a" * 56 + ".onion", "http://" + "a" * 56 + ".onion"),
        ("http://127.0.0.1:8402", "http://127.0.0.1:8402"),
        ("http://127.0.0.1:8403", ""),
        ("http://shop.example", ""),
        ("", ""),
    ],
)
def test_wallets_are_led_to_https_to_onions_and_to_hosts_that_are_listed(public_url, base):
    assert base_of_links(public_url, ("127.0.0.1:8402",)) == base


async def test_after_a_failed_payout_the_new_link_is_another(shop):
    ordered = await job_that_owes(shop)
    path = await link_of(shop, ordered)
    await shop.core.store.write(put_on_its_way, ordered["jobId"])
    [refund] = await shop.core.store.read(refunds.of_account, ordered["jobId"])

    await shop.core.store.write(refunds.due_again, refund, FeeRule(1, 5), 0)

    assert await link_of(shop, ordered) != path
    assert is_error((await shop.get(path)).json)
