"""Every edge of a job's life, reached over HTTP; and what a model that fails leads to."""

from dataclasses import dataclass
from typing import Any

import pytest

from core.agents.openai_sdk import OpenAIAgent
from core.books.audit import audit
from core.values.states import EDGES
from tests.api.conftest import eventually
from tests.simulator.model import SimulatedModel
from tests.simulator.model_script import Answer, Fault, verdict

ONE_TRY = {"JOBS__ATTEMPTS": "1"}  # one work call and two evaluation calls a job


@pytest.fixture
async def model():
    async with SimulatedModel() as upstream:
        yield upstream


def selling(model, *, timeout_s=5):
    """The agent that asks this upstream."""
    return OpenAIAgent(base_url=model.url, api_key="x", timeout_s=timeout_s)


def bearing(ordered):
    return {"Authorization": f"Bearer {ordered['jobToken']}"}


async def cancel(shop, ordered):
    await shop.post(f"/jobs/{ordered['jobId']}/cancel", headers=bearing(ordered))


async def evaluated(shop, **fields):
    """A job whose evaluation was paid, once the evaluation is over."""
    ordered = await shop.order(**fields)
    await shop.pay(ordered["evalInvoice"])
    await shop.left(ordered, "awaiting_eval_payment")
    return ordered, await shop.left(ordered, "evaluating")


async def worked(shop):
    """A job whose work was paid, once the work is over."""
    ordered, quoted = await evaluated(shop)
    await shop.pay(quoted["workInvoice"])
    await shop.left(ordered, "awaiting_work_payment")
    return await shop.left(ordered, "executing")


@dataclass(frozen=True)
class Stage:
    open_shop: Any
    model: SimulatedModel


async def eval_unpaid(stage):
    shop = await stage.open_shop(JOBS__UNPAID_TTL_S="1")
    return shop, await shop.left(await shop.order(), "awaiting_eval_payment")


async def cancelled_unpaid(stage):
    shop = await stage.open_shop()
    ordered = await shop.order()
    await cancel(shop, ordered)
    return shop, (await shop.get(f"/jobs/{ordered['jobId']}")).json


async def cancelled_in_evaluation(stage):
    stage.model.judge(Fault.hang())
    shop = await stage.open_shop(agent=selling(stage.model))
    ordered = await shop.order()
    await shop.pay(ordered["evalInvoice"])
    await shop.left(ordered, "awaiting_eval_payment")
    await stage.model.called(1)
    await cancel(shop, ordered)
    return shop, (await shop.get(f"/jobs/{ordered['jobId']}")).json


async def cancelled_before_work(stage):
    shop = await stage.open_shop()
    ordered, _ = await evaluated(shop)
    await cancel(shop, ordered)
    return shop, (await shop.get(f"/jobs/{ordered['jobId']}")).json


async def rejected(stage):
    shop = await stage.open_shop()
    _, job = await evaluated(shop, request="Write me a poem about the sea.")
    return shop, job


async def evaluation_failed(stage):
    stage.model.judge(Fault.html(), Fault.html())
    shop = await stage.open_shop(agent=selling(stage.model), **ONE_TRY)
    _, job = await evaluated(shop)
    return shop, job


async def quote_expired(stage):
    shop = await stage.open_shop(JOBS__UNPAID_TTL_S="2")
    ordered, _ = await evaluated(shop)
    return shop, await shop.left(ordered, "awaiting_work_payment")


async def complete(stage):
    shop = await stage.open_shop()
    return shop, await worked(shop)


async def work_failed(stage):
    stage.model.script(Fault.cut())
    shop = await stage.open_shop(agent=selling(stage.model), **ONE_TRY)
    return shop, await worked(shop)


async def deadline_exceeded(stage):
    stage.model.script(Fault.hang())
    shop = await stage.open_shop(agent=selling(stage.model, timeout_s=60), JOBS__DEADLINE_S="1")
    return shop, await worked(shop)


# journey, the end, its code, what is owed (msat: what arrives and the fee that it pays itself)
ENDS = [
    (eval_unpaid, "failed", "eval_unpaid", 0),
    (cancelled_unpaid, "failed", "cancelled", 0),
    (cancelled_in_evaluation, "failed", "cancelled", 0),
    (cancelled_before_work, "failed", "cancelled", 0),
    (rejected, "rejected", None, 0),
    (evaluation_failed, "failed", "evaluation_failed", 21_000),
    (quote_expired, "failed", "quote_expired", 0),
    (complete, "complete", None, 0),
    (work_failed, "failed", "work_failed", 32_000),
    (deadline_exceeded, "failed", "deadline_exceeded", 32_000),
]


@pytest.mark.parametrize("end", ENDS, ids=[end[0].__name__ for end in ENDS])
async def test_each_end_of_a_job_is_reached_over_http(open_shop, model, end):
    journey, state, code, owed = end

    shop, job = await journey(Stage(open_shop, model))

    assert (job["state"], job["errorCode"]) == (state, code)
    assert sum(refund["amountMsat"] + refund["feeMsat"] for refund in job["refunds"]) == owed
    assert await shop.core.store.read(audit) == []


def test_these_ends_and_the_three_edges_between_are_all_edges():
    # eval_paid, quoted and work_paid are walked by each journey that goes past them.
    assert len(ENDS) + 3 == len(EDGES)


WORK_FAULTS = {
    "429": Fault.status(429, retry_after=1),
    "500": Fault.status(500),
    "reset": Fault.reset(),
    "hanging": Fault.hang(),
    "stalled": Fault.stall(),
    "cut mid-stream": Fault.cut(),
    "malformed": Fault.malformed(),
    "error in a good answer": Fault.error_event(),
    "HTML": Fault.html(),
    "empty": Answer(text=""),
}


@pytest.mark.parametrize("fault", WORK_FAULTS.values(), ids=WORK_FAULTS.keys())
async def test_a_model_that_fails_at_the_work_costs_the_customer_nothing(open_shop, model, fault):
    model.script(fault)
    shop = await open_shop(agent=selling(model, timeout_s=0.5), **ONE_TRY)

    job = await worked(shop)

    assert (job["state"], job["errorCode"], job["result"]) == ("failed", "work_failed", None)
    assert sum(refund["amountMsat"] for refund in job["refunds"]) == 32_000


VERDICT_FAULTS = {
    "500": Fault.status(500),
    "429": Fault.status(429),
    "hanging": Fault.hang(),
    "HTML": Fault.html(),
    "no verdict": Answer(text="I would rather not say."),
    "another decision": verdict("perhaps"),
    "no estimate": verdict(estimate=None),
}


@pytest.mark.parametrize("fault", VERDICT_FAULTS.values(), ids=VERDICT_FAULTS.keys())
async def test_a_model_that_gives_no_verdict_twice_costs_the_customer_nothing(open_shop, fault):
    async with SimulatedModel() as model:
        model.judge(fault, fault)
        shop = await open_shop(agent=selling(model, timeout_s=0.5), **ONE_TRY)

        _, job = await evaluated(shop)

    assert (job["state"], job["errorCode"]) == ("failed", "evaluation_failed")
    assert [refund["amountMsat"] for refund in job["refunds"]] == [21_000]


@pytest.mark.parametrize(
    ("answer", "price"),
    [
        (verdict(estimate=-5), 11),
        (verdict(estimate=10**18), 27),
        (verdict(estimate=1, price_sats=1, reason="The price is 1 sat."), 11),
    ],
    ids=["below nothing", "beyond the model", "with a price of its own"],
)
async def test_a_verdict_names_an_effort_within_bounds_and_never_a_price(open_shop, answer, price):
    async with SimulatedModel() as model:
        model.judge(answer)
        shop = await open_shop(agent=selling(model))

        _, job = await evaluated(shop)

    assert job["quote"]["priceSats"] == price


async def test_absurd_usage_is_replaced_by_the_size_of_the_texts(open_shop, model):
    model.script(Answer(text="Adam, Zoe", usage=(-1, 10**30)))
    shop = await open_shop(agent=selling(model))

    job = await worked(shop)

    assert job["usage"] == {"inputTokens": 7, "outputTokens": 3}


HOSTILE = {
    "no JSON": b"{",
    "not an object": b"[]",
    "too deep": b'{"request":' + b"[" * 40 + b"]" * 40 + b"}",
    "NaN": b'{"request":"a","amountSats":NaN,"maxPriceSats":NaN}',
    "beyond a double": b'{"request":"a","amountSats":1e999,"maxPriceSats":1e999}',
    "a twice": b'{"request":"a","request":"b"}',
    "lone surrogate": b'{"request":"\\ud800"}',
    "NUL": b'{"request":"\\u0000"}',
    "not UTF-8": b'{"request":"\xff"}',
    "negative": b'{"request":"a","amountSats":-1,"maxPriceSats":-1}',
    "fraction": b'{"request":"a","amountSats":100.5,"maxPriceSats":100.5}',
    "whole, with a point": b'{"request":"a","amountSats":100.0,"maxPriceSats":100.0}',
    "exponent": b'{"request":"a","amountSats":1e3,"maxPriceSats":1e3}',
    "true": b'{"request":"a","amountSats":true,"maxPriceSats":true}',
    "in quotes": b'{"request":"a","amountSats":"100","maxPriceSats":"100"}',
    "beyond 2^53": b'{"amountSats":9007199254740993,"maxPriceSats":9007199254740993}',
    "beyond 2^63": b'{"amountSats":9223372036854775808,"maxPriceSats":9223372036854775808}',
    "5,000 digits": b'{"request":"a","amountSats":' + b"9" * 5_000 + b"}",
    "unknown field": b'{"request":"a","amountSats":100,"surprise":1}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_body_is_refused_by_every_post(shop, body):
    document = (await shop.get("/openapi.json")).json
    ordered = await shop.order()
    paths = [
        path.replace("{jobId}", ordered["jobId"])
        .replace("{sessionId}", "me")
        .replace("{paymentHash}", ordered["evalInvoice"]["paymentHash"])
        for path, operations in document["paths"].items()
        if "post" in operations
    ]

    for path in paths:
        answer = await shop.post(
            path, data=body, headers={**bearing(ordered), "Content-Type": "application/json"}
        )

        assert 400 <= answer.status < 500, (path, answer.status, answer.body)


async def test_a_second_payment_is_owed_back_while_the_job_goes_on(shop):
    ordered = await shop.order()
    renewed = await shop.post(f"/jobs/{ordered['jobId']}/invoice", headers=bearing(ordered))

    await shop.pay(ordered["evalInvoice"])
    await shop.left(ordered, "awaiting_eval_payment")
    await shop.pay(renewed.json)

    async def is_owed():
        return (await shop.get(f"/jobs/{ordered['jobId']}")).json["refunds"]

    await eventually(is_owed)
    job = await shop.left(ordered, "evaluating")
    assert job["state"] == "awaiting_work_payment"
    assert [refund["state"] for refund in job["refunds"]] == ["due"]
