"""The demo, the stub wallet's payer, the wallet's hints, health, and the operator's numbers."""

import json

import pytest

from core.app import webhook_secret
from core.data_folder import make_secret
from core.values.clock import SystemClock
from core.values.money import Msat
from core.wallets.port import LookUp, Movement, Settlement, Unknown, WalletInvoice
from tests.api.actors import MoodyWallet
from tests.api.conftest import eventually

HASH = "ab" * 32


class ForeignWallet:
    """A wallet that is no stub, and remembers which payments it was told to look at."""

    def __init__(self) -> None:
        self.watched: list[str] = []

    async def create_invoice(self, *_args: object, **_kwargs: object) -> WalletInvoice:
        raise NotImplementedError

    async def look_up(self, _payment_hash: str) -> LookUp:
        return Unknown("nothing is known here")

    async def settlements(self):
        nothing: tuple[Settlement, ...] = ()
        for settlement in nothing:
            yield settlement
        await SystemClock().sleep(3600)

    async def movements(self, *, since_ms: int) -> list[Movement]:  # noqa: ARG002
        return []

    def watch(self, payment_hashes) -> None:
        self.watched.extend(payment_hashes)

    async def balance(self) -> Msat:
        return Msat(0)

    async def aclose(self) -> None:
        pass


async def test_the_demo_answers_for_nothing(shop):
    answer = await shop.get("/demo", params={"request": "Sort these names: Zoe, Adam"})

    assert (answer.status, answer.json) == (200, {"result": "Adam, Zoe"})


async def test_the_demo_is_used_up_after_a_while(open_shop):
    shop = await open_shop(DEMO__PER_HOUR="2")

    answers = [await shop.get("/demo", params={"request": "Sort: b, a"}) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].code == "rate_limited"
    assert 0 < int(answers[2].headers["Retry-After"]) <= 3600


@pytest.mark.parametrize("query", ["", "?request=", "?request=a&request=b", "?request=%00"])
async def test_the_demo_needs_one_request(shop, query):
    answer = await shop.get(f"/demo{query}")

    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize(("length", "status"), [(16_000, 200), (16_001, 400)])
async def test_the_demo_takes_the_longest_request_that_there_is(shop, length, status):
    text = "Count the words: " + "\N{FIRE}" * (length - 17)

    assert (await shop.get("/demo", params={"request": text})).status == status


async def test_a_demo_that_is_off_is_not_there(open_shop):
    shop = await open_shop(DEMO__ENABLED="false")

    assert (await shop.get("/demo?request=x")).status == 404
    assert "/demo" not in (await shop.get("/openapi.json")).json["paths"]
    assert 'action="demo"' not in (await shop.get("/")).body.decode()


async def test_play_money_pays_once_however_often_it_is_asked(shop):
    job = await shop.order()
    path = f"/dev/stub/pay/{job['evalInvoice']['paymentHash']}"

    first, again = await shop.post(path), await shop.post(path, json={})

    assert first.status == 200
    assert first.json["paid"] is True
    assert len(bytes.fromhex(first.json["preimage"])) == 32
    assert again.json == first.json


@pytest.mark.parametrize("name", [HASH, "nonsense", "%00", HASH.upper()])
async def test_a_hash_that_nobody_knows_is_a_404(shop, name):
    assert (await shop.post(f"/dev/stub/pay/{name}")).status == 404


async def test_somebody_elses_invoice_is_not_ours_to_be_paid(shop):
    answer = await shop.post("/dev/stub/invoice", json={"amountSats": 7})

    assert answer.status == 201
    assert answer.json["paymentRequest"].startswith("lnbcrt70n1")
    assert answer.json["amountSats"] == 7
    assert (await shop.post(f"/dev/stub/pay/{answer.json['paymentHash']}")).status == 404


@pytest.mark.parametrize("amount", [0, -1, 1.0, "1", True, None, 2**63])
async def test_nobody_makes_an_invoice_over_nonsense(shop, amount):
    assert (await shop.post("/dev/stub/invoice", json={"amountSats": amount})).status == 400


async def test_a_real_wallet_has_no_play_money(open_shop):
    shop = await open_shop(wallet=ForeignWallet())

    assert (await shop.post(f"/dev/stub/pay/{HASH}")).status == 404
    assert not [path for path in (await shop.get("/openapi.json")).json["paths"] if "stub" in path]


@pytest.fixture
async def hook(open_shop, tmp_path):
    wallet = ForeignWallet()
    shop = await open_shop(wallet=wallet)
    secret = webhook_secret(make_secret(tmp_path))
    return shop, wallet, f"/hooks/lnbits/{secret}"


@pytest.mark.parametrize("encode", [lambda told: told, json.dumps], ids=["object", "string"])
async def test_the_wallets_webhook_is_a_hint(hook, encode):
    shop, wallet, path = hook

    answer = await shop.post(path, json=encode({"payment_hash": HASH, "amount": 21000}))

    assert answer.status == 202
    assert wallet.watched == [HASH]


@pytest.mark.parametrize("told", [{}, [], 7, "x", None, {"payment_hash": "short"}])
async def test_a_webhook_without_a_hash_hints_at_nothing(hook, told):
    shop, wallet, path = hook

    assert (await shop.post(path, json=told)).status == 400
    assert wallet.watched == []


@pytest.mark.parametrize("secret", ["x", "%C3%A4", "0" * 32])
async def test_a_wrong_secret_is_a_404_whatever_is_told(hook, secret):
    shop, wallet, _ = hook

    for told in ({"payment_hash": HASH}, None):
        assert (await shop.post(f"/hooks/lnbits/{secret}", json=told)).status == 404
    assert wallet.watched == []


async def test_health_is_that_the_process_answers(shop):
    answer = await shop.get("/healthz")

    assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_readiness_comes_once_everybody_was_seen(shop):
    async def ready() -> bool:
        return (await shop.get("/readyz")).status == 200

    await eventually(ready)

    assert (await shop.get("/readyz")).json == {"ready": True, "notReady": []}


async def test_a_server_that_drains_says_so_and_takes_nothing_new(shop):
    await shop.core.drain(0)

    ready = await shop.get("/readyz")
    order = await shop.post("/jobs", json={"request": "x"})
    demo = await shop.get("/demo?request=x")

    assert ready.status == 503
    assert "draining" in ready.json["notReady"]
    assert ready.headers["Retry-After"]
    assert (order.status, order.code) == (503, "shutting_down")
    assert (demo.status, demo.code) == (503, "shutting_down")
    assert (await shop.get("/healthz")).status == 200


async def test_the_operator_sees_numbers_and_customers_do_not(shop):
    job = await shop.order()
    await shop.get(f"/jobs/{job['jobId']}")
    await shop.ask("PUT", "/jobs/secret-looking-path")
    operator = f"http://127.0.0.1:{shop.doors.operator_port}"

    numbers = (await shop.get(f"{operator}/metrics")).body.decode()

    assert 'requests_total{method="GET",route="/jobs/{jobId}",status="200"} 1.0' in numbers
    assert 'requests_total{method="other",route="unknown",status="405"} 1.0' in numbers
    assert 'boltwork_jobs{state="awaiting_eval_payment"} 1.0' in numbers
    assert job["jobId"] not in numbers
    assert (await shop.get("/metrics")).status == 404
    assert (await shop.get(f"{operator}/jobs/{job['jobId']}")).status == 404


async def test_beyond_this_machine_the_operator_needs_the_token(open_shop):
    shop = await open_shop(OPERATOR__LISTEN="0.0.0.0:0", OPERATOR__TOKEN="only-the-operator-knows")
    metrics = f"http://127.0.0.1:{shop.doors.operator_port}/metrics"

    answers = [
        await shop.get(metrics, headers={"Authorization": f"Bearer {token}"})
        for token in ("", "guess", "\xe4", "only-the-operator-knows")
    ]

    assert [answer.status for answer in answers] == [401, 401, 401, 200]


async def test_a_wallet_that_is_down_is_named(open_shop, tmp_path):
    wallet = MoodyWallet.open(tmp_path, clock=SystemClock())
    wallet.is_down = True
    shop = await open_shop(wallet=wallet)

    async def named() -> bool:
        return (await shop.get("/readyz")).json["notReady"] == ["wallet"]

    await eventually(named)
