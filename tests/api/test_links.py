"""Joining two balances over HTTP: what both must say, what goes along, and who gets nowhere."""

import asyncio
from functools import partial

import pytest

from core.books import ledger
from core.books.audit import audit
from core.values.clock import SystemClock
from core.values.money import Msat
from tests.api.account import (
    ABSENT_SESSION,
    SORT,
    Account,
    account,
    all_but,
    credited,
    shop_on,
)
from tests.api.conftest import eventually

__all__ = ["account", "shop_on"]

ABSENT_LINK = "lnk_" + "0" * 26
WRONG = "0000-0000"


async def code_of(maker):
    """A fresh code, and its link."""
    answer = await maker.post("/sessions/me/links", {})
    assert answer.status == 201, answer.body
    return answer.json["code"], answer.json["linkId"]


async def taken(maker, taker):
    """A link to which the taker has said yes."""
    code, link_id = await code_of(maker)
    answer = await taker.post("/links", {"code": code})
    assert (answer.status, answer.json) == (202, {"linkId": link_id})
    return link_id


async def confirm(account, link_id, session="me"):
    return await account.post(f"/sessions/{session}/links/{link_id}/confirm")


async def joined(maker, taker):
    answer = await confirm(maker, await taken(maker, taker))
    assert answer.status == 200, answer.body
    return answer.json["linkId"]


async def id_of(account):
    return (await account.session())["sessionId"]


async def two(shop, maker_sats=1_000, taker_sats=500):
    return await Account.filled(shop, maker_sats), await Account.filled(shop, taker_sats)


async def is_balanced(shop):
    return await shop.core.store.read(audit) == []


async def is_due(shop, job):
    return (await shop.get(f"/jobs/{job['jobId']}")).json["refunds"]


async def is_sent(account, refund):
    return (await account.get(f"/refunds/{refund['refundId']}")).json["state"] == "paid"


# Both say yes


async def test_a_code_lives_ten_minutes_and_is_shown_once(account):
    answer = await account.post("/sessions/me/links", {})
    link = answer.json

    assert answer.status == 201
    assert set(link) == {"linkId", "code", "expiresAt"}
    assert len(link["code"].replace("-", "")) == 8
    shown = await account.get(f"/sessions/me/links/{link['linkId']}")
    assert shown.json == {
        "linkId": link["linkId"],
        "state": "open",
        "other": None,
        "otherBalanceMsat": None,
    }


async def test_each_side_sees_the_other_and_what_it_has(shop_on):
    maker, taker = await two(shop_on)
    link_id = await taken(maker, taker)

    by_maker = (await maker.get(f"/sessions/me/links/{link_id}")).json
    by_taker = (await taker.get(f"/sessions/me/links/{link_id}")).json

    assert by_maker["state"] == by_taker["state"] == "taken"
    assert (by_maker["other"], by_maker["otherBalanceMsat"]) == (await id_of(taker), 500_000)
    assert (by_taker["other"], by_taker["otherBalanceMsat"]) == (await id_of(maker), 1_000_000)


async def test_after_both_have_said_yes_there_is_one_balance(shop_on):
    maker, taker = await two(shop_on)
    maker_id, taker_id = await id_of(maker), await id_of(taker)

    link_id = await joined(maker, taker)

    assert (await maker.session())["balanceMsat"] == 1_500_000
    assert await taker.session() == await maker.session()
    assert (await taker.get(f"/sessions/{taker_id}")).json == await maker.session()
    assert (await taker.get(f"/sessions/{maker_id}")).status == 200
    assert (await maker.get(f"/sessions/me/links/{link_id}")).json["state"] == "joined"
    assert await is_balanced(shop_on)


async def test_the_transfer_stands_in_the_ledger_and_all_entries_add_up(shop):
    maker, taker = await two(shop)

    link_id = await joined(maker, taker)

    [entries] = await taker.pages("/sessions/me/ledger", 100)
    assert [(each["kind"], each["amountMsat"]) for each in entries] == [
        ("transfer", 500_000),
        ("deposit", 1_000_000),
    ]
    assert entries[0]["ref"] == link_id
    assert entries[0]["balanceMsat"] == 1_500_000


async def test_a_code_is_read_as_people_write_it(shop):
    maker, taker = await two(shop)
    code, link_id = await code_of(maker)
    typed = " " + code.lower().replace("0", "o").replace("1", "L").replace("-", " ")

    answer = await taker.post("/links", {"code": typed})

    assert (answer.status, answer.json) == (202, {"linkId": link_id})


async def test_confirming_again_is_no_change(shop_on):
    maker, taker = await two(shop_on)
    link_id = await taken(maker, taker)

    answers = await asyncio.gather(*(confirm(maker, link_id) for _ in range(4)))

    assert {answer.status for answer in answers} == {200}
    assert (await confirm(maker, link_id)).status == 200
    assert (await maker.session())["balanceMsat"] == 1_500_000
    assert await is_balanced(shop_on)


async def test_under_a_key_the_same_code_is_shown_again(account):
    key = {"Idempotency-Key": "a-link"}

    first = await account.post("/sessions/me/links", {}, headers=key)
    again = await account.post("/sessions/me/links", {}, headers=key)

    assert again.body == first.body
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_third_balance_joins_and_every_id_still_works(shop):
    first, second = await two(shop)
    third = await Account.filled(shop, 300)
    second_id = await id_of(second)
    await joined(first, second)

    await joined(third, first)

    assert (await second.get(f"/sessions/{second_id}")).json == await third.session()
    assert (await third.session())["balanceMsat"] == 1_800_000
    assert await is_balanced(shop)


# What goes along


async def test_the_takers_token_spends_the_joint_balance_within_its_budget(shop_on):
    maker, taker = await two(shop_on, 1_000, 100)
    child, _ = await taker.child(budgetMsat=40_000, rights=["read", "spend"])
    job = await child.worked()
    await joined(maker, taker)

    answer = await child.post("/sessions/me/jobs", {"request": SORT})

    spent = 21_000 + job["quote"]["priceSats"] * 1_000
    assert (await child.session())["balanceMsat"] == 1_100_000 - spent
    assert (answer.status, answer.code) == (403, "forbidden")  # 8 sats of its budget are left
    assert (await taker.post("/sessions/me/jobs", {"request": SORT})).status == 201


async def test_a_late_payment_of_the_takers_invoice_credits_the_survivor(shop_on):
    maker, taker = await two(shop_on)
    bill = (await taker.post("/sessions/me/topup", {"amountSats": 200})).json["topupInvoice"]
    await joined(maker, taker)

    await shop_on.pay(bill)

    assert (await credited(maker, 1_700_000))["openInvoices"] == []
    assert await is_balanced(shop_on)


async def test_a_session_whose_deposit_was_never_paid_can_be_joined(shop):
    maker = await Account.filled(shop)
    taker, opened = await Account.open(shop, 300)
    await joined(maker, taker)

    await shop.pay(opened["depositInvoice"])

    await credited(taker, 1_300_000)
    assert await is_balanced(shop)


async def test_a_maker_without_a_deposit_is_active_with_the_takers_money(shop):
    maker, _ = await Account.open(shop)
    taker = await Account.filled(shop, 300)

    await joined(maker, taker)

    session = await maker.session()
    assert (session["state"], session["balanceMsat"]) == ("active", 300_000)
    assert (await maker.post("/sessions/me/request", {"request": SORT})).status == 200


async def test_the_takers_jobs_are_the_survivors(shop_on):
    maker, taker = await two(shop_on)
    mine, theirs = await maker.quoted(), await taker.quoted()
    await joined(maker, taker)

    listed = [job["jobId"] for job in (await maker.get("/sessions/me/jobs")).json["items"]]
    accepted = await maker.post(f"/jobs/{theirs['jobId']}/accept")
    cancelled = await taker.post(f"/jobs/{mine['jobId']}/cancel")

    assert listed == [theirs["jobId"], mine["jobId"]]
    assert (accepted.status, cancelled.status) == (200, 200)
    await shop_on.left(theirs, "executing")
    assert await is_balanced(shop_on)


async def test_a_debt_that_goes_to_the_takers_id_reaches_the_survivor(shop):
    maker, taker = await two(shop)
    taker_id = await id_of(taker)
    job = await shop.order()
    customer = Account(shop, job["jobToken"])
    await customer.post(f"/jobs/{job['jobId']}/cancel")
    await shop.pay(job["evalInvoice"])
    await eventually(partial(is_due, shop, job))
    await joined(maker, taker)

    answer = await customer.post(f"/jobs/{job['jobId']}/refund", {"to": taker_id})

    assert (answer.status, answer.json["state"]) == (202, "credited")
    assert (await maker.session())["balanceMsat"] == 1_521_000
    assert await is_balanced(shop)


async def test_the_takers_withdrawals_can_still_be_read(shop):
    maker, taker = await two(shop)
    made = await shop.post("/dev/stub/invoice", json={"amountSats": 100})
    invoice = made.json["paymentRequest"]
    sent = (await taker.post("/sessions/me/withdraw", {"to": invoice})).json
    await eventually(partial(is_sent, taker, sent))

    await joined(maker, taker)

    assert (await maker.get(f"/refunds/{sent['refundId']}")).status == 200
    assert len((await taker.get("/sessions/me/refunds")).json["items"]) == 1
    assert await is_balanced(shop)


# Who gets nowhere


async def test_one_sided_yeses_join_nothing(shop_on):
    maker, taker = await two(shop_on)
    taker_id = await id_of(taker)
    code, link_id = await code_of(maker)

    alone = await confirm(maker, link_id)
    await taker.post("/links", {"code": code})
    by_taker = await confirm(taker, link_id, taker_id)
    by_stranger = await confirm(await Account.filled(shop_on), link_id)

    assert (alone.status, alone.code) == (409, "wrong_state")
    assert (by_taker.status, by_stranger.status) == (404, 404)
    assert (await taker.session())["balanceMsat"] == 500_000


async def test_a_code_is_used_once(shop):
    maker, taker = await two(shop)
    code, _ = await code_of(maker)
    await taker.post("/links", {"code": code})

    again = await taker.post("/links", {"code": code})
    other = await (await Account.filled(shop)).post("/links", {"code": code})

    assert (again.status, other.status) == (404, 404)


async def test_a_new_code_makes_the_one_before_void(shop):
    maker, taker = await two(shop)
    code, _ = await code_of(maker)
    await code_of(maker)

    assert (await taker.post("/links", {"code": code})).status == 404


async def test_ones_own_code_is_no_code(account):
    code, _ = await code_of(account)

    answer = await account.post("/links", {"code": code})

    assert (answer.status, answer.code) == (404, "not_found")


async def test_five_wrong_codes_an_hour_and_then_the_right_one_is_refused_too(shop_on):
    maker, taker = await two(shop_on)
    code, _ = await code_of(maker)

    tries = [await taker.post("/links", {"code": WRONG}) for _ in range(5)]
    right = await taker.post("/links", {"code": code})

    assert {answer.status for answer in tries} == {404}
    assert (right.status, right.code) == (429, "rate_limited")
    assert int(right.headers["Retry-After"]) > 3_000
    assert (await (await Account.filled(shop_on)).post("/links", {"code": code})).status == 202


@pytest.mark.parametrize("caveat", ["rights=read,spend,topup,withdraw,manage", "models=offline"])
async def test_only_a_token_without_any_caveat_joins(shop, caveat):
    maker, taker = await two(shop)
    link_id = await taken(maker, taker)
    weak = maker.narrowed(caveat)

    answers = [
        await weak.post("/sessions/me/links", {}),
        await weak.post("/links", {"code": WRONG}),
        await weak.get(f"/sessions/me/links/{link_id}"),
        await confirm(weak, link_id),
    ]

    assert {(answer.status, answer.code) for answer in answers} == {(403, "forbidden")}


async def test_the_checks_come_in_their_order(account):
    weak = account.narrowed(all_but("read"))

    foreign = await weak.post(f"/sessions/{ABSENT_SESSION}/links", {"x": 1})
    absent = await account.post(f"/sessions/me/links/{ABSENT_LINK}/confirm", {"x": 1})
    unfit = await weak.post("/links", {"x": 1})
    odd = await account.post("/sessions/me/links", {"x": 1})
    nobody = await account.shop.post("/links", json={"code": WRONG})

    assert [answer.status for answer in (foreign, absent, unfit, odd, nobody)] == [
        404,
        404,
        403,
        400,
        401,
    ]


async def test_while_money_is_held_on_the_takers_side_nothing_is_joined(shop):
    maker, taker = await two(shop)
    link_id, taker_id = await taken(maker, taker), await id_of(taker)
    until_ms = SystemClock().now_ms() + 60_000
    await shop.core.store.write(ledger.hold, "a hold", taker_id, Msat(1_000), until_ms, owner="")

    held = await confirm(maker, link_id)
    await shop.core.store.write(ledger.post, "a hold", Msat(0), ref="", now_ms=until_ms)
    free = await confirm(maker, link_id)

    assert (held.status, held.code, free.status) == (409, "wrong_state", 200)


async def test_a_closed_session_joins_nothing(shop):
    maker, taker = await two(shop)
    link_id = await taken(maker, taker)
    await taker.delete("/sessions/me")

    answer = await confirm(maker, link_id)

    assert (answer.status, answer.code) == (409, "wrong_state")
