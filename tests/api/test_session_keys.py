"""The same request of a session again: one effect, one answer."""

import asyncio

import pytest

from core.values.clock import SystemClock
from tests.api.account import POSTS, SORT, Account, account, shop_on
from tests.api.actors import MoodyWallet

__all__ = ["account", "shop_on"]


@pytest.mark.parametrize(("method", "path", "fields", "_right"), POSTS)
async def test_the_same_request_gets_the_same_answer(shop_on, method, path, fields, _right):
    account = await Account.filled(shop_on)
    key = {"Idempotency-Key": "k"}

    first = await account.ask(method, path.format("me"), json=fields, headers=key)
    again = await account.ask(method, path.format("me"), json=fields, headers=key)
    other = await account.ask(method, path.format("me"), json={**fields, "x": 1}, headers=key)

    assert first.status in {200, 201}
    assert (again.status, again.body) == (first.status, first.body)
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
