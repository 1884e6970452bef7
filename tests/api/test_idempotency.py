"""The same request again under the same key, whatever happened to the first."""

import asyncio

import pytest

from core.values.clock import SystemClock
from tests.api.actors import MoodyWallet
from tests.api.conftest import eventually
from tests.api.wire import wire_to

KEY = {"Idempotency-Key": "a key of a customer".replace(" ", "-")}
ORDER = {"request": "Sort these names: Zoe, Adam"}


@pytest.fixture
def wallet(tmp_path):
    return MoodyWallet.open(tmp_path, clock=SystemClock())


@pytest.fixture
async def moody_shop(open_shop, wallet):
    return await open_shop(wallet=wallet)


async def test_the_same_request_gets_the_same_answer_byte_for_byte(shop):
    first = await shop.post("/jobs", json=ORDER, headers=KEY)
    again = await shop.post("/jobs", json=ORDER, headers=KEY)

    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]


async def test_a_quoted_key_is_the_same_key(shop):
    first = await shop.post("/jobs", json=ORDER, headers=KEY)
    quoted = {"Idempotency-Key": f'"{KEY["Idempotency-Key"]}"'}

    assert (await shop.post("/jobs", json=ORDER, headers=quoted)).body == first.body


async def test_without_a_key_every_order_is_a_new_one(shop):
    first, second = await shop.order(), await shop.order()

    assert first["jobId"] != second["jobId"]


@pytest.mark.parametrize("other", [{"request": "another"}, {**ORDER, "metadata": {}}])
async def test_another_request_under_the_key_is_refused(shop, other):
    await shop.post("/jobs", json=ORDER, headers=KEY)

    answer = await shop.post("/jobs", json=other, headers=KEY)

    assert (answer.status, answer.code) == (422, "idempotency_key_reused")


async def test_while_the_first_request_runs_the_second_is_told_to_come_back(moody_shop, wallet):
    wanted, go_on = wallet.slow_down()
    first = asyncio.create_task(moody_shop.post("/jobs", json=ORDER, headers=KEY))
    await asyncio.wait_for(wanted.wait(), 5)

    second = await moody_shop.post("/jobs", json=ORDER, headers=KEY)
    other = await moody_shop.post("/jobs", json={"request": "other"}, headers=KEY)
    go_on.set()
    third = await moody_shop.post("/jobs", json=ORDER, headers=KEY) if await first else None

    assert (second.status, second.code) == (409, "request_in_progress")
    assert second.headers["Retry-After"] == "1"
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert third.body == (await first).body


async def test_a_request_that_failed_has_freed_its_key(moody_shop, wallet):
    wallet.is_down = True
    failed = await moody_shop.post("/jobs", json=ORDER, headers=KEY)
    refused = await moody_shop.post("/jobs", json={"request": ""}, headers=KEY)
    wallet.is_down = False

    answer = await moody_shop.post("/jobs", json=ORDER, headers=KEY)

    assert (failed.status, refused.status, answer.status) == (503, 400, 201)
    assert "Idempotency-Replayed" not in answer.headers


@pytest.mark.parametrize("headers", [KEY, {}], ids=["with a key", "without"])
async def test_a_request_runs_to_its_end_though_its_client_hangs_up(moody_shop, wallet, headers):
    wanted, go_on = wallet.slow_down()
    body = b'{"request":"abandoned"}'
    async with wire_to(moody_shop.port) as wire:
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await wire.send(
            f"POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{more}"
            f"Content-Length: {len(body)}\r\n\r\n{body.decode()}"
        )
        await asyncio.wait_for(wanted.wait(), 5)
    go_on.set()

    await eventually(lambda: jobs_in(moody_shop))
    if headers:
        again = await moody_shop.post(
            "/jobs", data=body, headers={**headers, "Content-Type": "application/json"}
        )
        assert again.headers["Idempotency-Replayed"] == "true"
    assert await jobs_in(moody_shop) == 1


async def jobs_in(shop) -> int:
    answer = await shop.get(f"http://127.0.0.1:{shop.doors.operator_port}/metrics")
    lines = answer.body.decode().splitlines()
    [line] = [line for line in lines if line.startswith('boltwork_jobs{state="awaiting_eval')]
    return int(float(line.split()[-1]))


@pytest.mark.parametrize(
    "key", ["short", "x" * 256, "sixteen letters!", '"unfinished-quotes', "x" * 15]
)
async def test_a_key_that_is_none_is_a_400(shop, key):
    answer = await shop.post("/jobs", json=ORDER, headers={"Idempotency-Key": key})

    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_with_a_credential_a_short_key_will_do(shop):
    job = await shop.order()
    headers = {"X-Api-Key": job["jobToken"], "Idempotency-Key": "1"}

    answers = [await shop.post(f"/jobs/{job['jobId']}/invoice", headers=headers) for _ in "ab"]

    assert answers[0].status == 201
    assert answers[0].body == answers[1].body


async def test_a_key_means_something_else_for_every_customer(open_shop):
    shop = await open_shop(SERVER__TRUSTED_PROXIES='["127.0.0.1"]')

    one = await shop.post("/jobs", json=ORDER, headers={**KEY, "X-Forwarded-For": "192.0.2.1"})
    other = await shop.post("/jobs", json=ORDER, headers={**KEY, "X-Forwarded-For": "192.0.2.2"})

    assert one.json["jobId"] != other.json["jobId"]


async def test_on_routes_that_ask_for_no_credential_it_is_no_principal_either(shop):
    job = await shop.order()

    one = await shop.post("/jobs", json=ORDER, headers=KEY)
    other = await shop.post("/jobs", json=ORDER, headers={**KEY, "X-Api-Key": job["jobToken"]})

    assert one.body == other.body


async def test_the_stored_answer_comes_before_everything_but_the_credential(shop):
    job = await shop.order()
    headers = {"X-Api-Key": job["jobToken"], "Idempotency-Key": "again"}
    path = f"/jobs/{job['jobId']}/invoice"
    first = await shop.post(path, headers=headers)
    await shop.post(f"/jobs/{job['jobId']}/cancel", headers={"X-Api-Key": job["jobToken"]})

    assert (await shop.post(path, headers=headers)).body == first.body
    assert (await shop.post(path, headers={"Idempotency-Key": "again"})).status == 401
