import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.values.money import Msat
from core.values.pricing import (
    Prices,
    Pricing,
    affordable_output_limit,
    clamp_estimate,
    estimated_tokens,
    hold_msat,
    price_sats,
    request_cost_msat,
    work_output_limit,
)

PRICES = Prices(input_msat_per_1k=1000, output_msat_per_1k=4000)
PRICING = Pricing(
    eval_fee_sats=21,
    eval_fee_on_reject="keep",
    base_msat=10_000,
    min_sats=10,
    max_sats=100_000,
    min_request_msat=1000,
    min_output_tokens=16,
)
FREE = replace(PRICING, base_msat=0, min_sats=1, min_request_msat=0)

tokens = st.integers(0, 10**7)
list_prices = st.builds(Prices, st.integers(0, 10**6), st.integers(0, 10**6))
pricings = st.builds(
    replace,
    st.just(PRICING),
    base_msat=st.integers(0, 10**6),
    min_sats=st.integers(1, 50),
    max_sats=st.integers(50, 10**6),
    min_request_msat=st.integers(0, 5000),
)


# Jobs


@pytest.mark.parametrize(
    ("input_tokens", "output_tokens", "price"),
    [
        (0, 0, 10),  # the base alone
        (1000, 0, 11),
        (1000, 1000, 15),
        (999, 0, 11),  # 10.999 sats
        (1, 0, 11),  # 10.001 sats
        (0, 22_500_000, 90_010),
        (0, 30_000_000, 100_000),  # never above max_sats
    ],
)
def test_a_job_costs_its_base_and_its_tokens_rounded_up(input_tokens, output_tokens, price):
    assert (
        price_sats(PRICING, PRICES, input_tokens=input_tokens, output_tokens=output_tokens) == price
    )


def test_a_job_costs_at_least_the_minimum():
    free = Prices(input_msat_per_1k=0, output_msat_per_1k=0)

    assert price_sats(FREE, free, input_tokens=5, output_tokens=5) == 1


def test_parts_below_a_satoshi_are_rounded_once_together():
    pricing = replace(FREE, base_msat=400)
    prices = Prices(input_msat_per_1k=300, output_msat_per_1k=300)

    assert price_sats(pricing, prices, input_tokens=1000, output_tokens=1000) == 1


@given(pricings, list_prices, tokens, tokens)
def test_a_job_price_is_the_exact_one_rounded_up(pricing, prices, input_tokens, output_tokens):
    exact = Fraction(pricing.base_msat, 1000)
    exact += Fraction(input_tokens, 1000) * Fraction(prices.input_msat_per_1k, 1000)
    exact += Fraction(output_tokens, 1000) * Fraction(prices.output_msat_per_1k, 1000)

    price = price_sats(pricing, prices, input_tokens=input_tokens, output_tokens=output_tokens)

    assert price == min(max(math.ceil(exact), pricing.min_sats), pricing.max_sats)


@pytest.mark.parametrize(
    ("texts", "size"),
    [
        ((), 0),
        (("",), 0),
        (("a",), 1),
        (("abcd",), 1),
        (("abcde",), 2),
        (("äö",), 1),
        (("\N{GRINNING FACE}a",), 2),
        (("a", "b", "c", "d"), 1),
    ],
)
def test_four_bytes_are_a_token(texts, size):
    assert estimated_tokens(*texts) == size


@pytest.mark.parametrize(
    ("estimate", "clamped"), [(-5, 1), (0, 1), (1, 1), (4096, 4096), (4097, 4096), (10**30, 4096)]
)
def test_an_estimate_is_believed_as_far_as_it_can_be_true(estimate, clamped):
    assert clamp_estimate(estimate, 4096) == clamped


@pytest.mark.parametrize(
    ("model_max", "quoted", "limit"),
    [
        (8192, 1, 1024),
        (8192, 256, 1024),
        (8192, 257, 1028),
        (8192, 2048, 8192),
        (8192, 9999, 8192),
        (500, 1, 500),
    ],
)
def test_work_has_room_for_four_times_its_quote_and_at_least_1024(model_max, quoted, limit):
    assert work_output_limit(model_max, quoted) == limit


# Requests


def test_a_hold_takes_every_byte_for_a_token_and_every_choice_for_a_full_one():
    hold = hold_msat(PRICING, PRICES, body_bytes=500, choices=3, output_limit=100)

    assert hold == 500 + 3 * 400


def test_a_hold_and_a_charge_have_the_same_minimum():
    assert hold_msat(PRICING, PRICES, body_bytes=1, choices=1, output_limit=1) == 1000
    assert request_cost_msat(PRICING, PRICES, input_tokens=1, output_tokens=1, hold=Msat(5000)) == (
        1000
    )


def test_a_charge_is_rounded_up_to_a_millisatoshi():
    prices = Prices(input_msat_per_1k=1, output_msat_per_1k=1)

    cost = request_cost_msat(FREE, prices, input_tokens=600, output_tokens=401, hold=Msat(5000))

    assert cost == 2


def test_absurd_usage_costs_no_more_than_the_hold():
    cost = request_cost_msat(
        PRICING, PRICES, input_tokens=10**30, output_tokens=10**30, hold=Msat(7777)
    )

    assert cost == 7777


@given(pricings, list_prices, tokens, tokens)
def test_a_charge_is_the_exact_price_rounded_up(pricing, prices, input_tokens, output_tokens):
    exact = Fraction(input_tokens * prices.input_msat_per_1k, 1000)
    exact += Fraction(output_tokens * prices.output_msat_per_1k, 1000)
    ample = Msat(10**18)

    cost = request_cost_msat(
        pricing, prices, input_tokens=input_tokens, output_tokens=output_tokens, hold=ample
    )

    assert cost == max(math.ceil(exact), pricing.min_request_msat)


@given(
    pricing=pricings,
    prices=list_prices,
    body_bytes=tokens,
    choices=st.integers(1, 8),
    output_limit=st.integers(1, 10**5),
    data=st.data(),
)
def test_a_request_that_keeps_its_limits_never_needs_the_cap(
    *, pricing, prices, body_bytes, choices, output_limit, data
):
    hold = hold_msat(
        pricing, prices, body_bytes=body_bytes, choices=choices, output_limit=output_limit
    )
    input_tokens = data.draw(st.integers(0, body_bytes))
    output_tokens = data.draw(st.integers(0, choices * output_limit))

    cost = request_cost_msat(
        pricing, prices, input_tokens=input_tokens, output_tokens=output_tokens, hold=hold
    )

    assert cost == request_cost_msat(
        pricing, prices, input_tokens=input_tokens, output_tokens=output_tokens, hold=Msat(10**18)
    )


def test_the_limit_is_what_the_money_covers():
    def limit(available: int) -> int:
        return affordable_output_limit(
            PRICING,
            PRICES,
            body_bytes=800,
            choices=2,
            wanted=4096,
            available=Msat(available),
        )

    assert limit(999) == 0  # below the minimum of a request
    assert limit(1000) == 25
    assert limit(1007) == 25
    assert limit(1008) == 26
    assert limit(10**9) == 4096


def test_output_that_costs_nothing_is_limited_by_its_input_only():
    prices = Prices(input_msat_per_1k=1000, output_msat_per_1k=0)

    def limit(available: int) -> int:
        return affordable_output_limit(
            FREE, prices, body_bytes=100, choices=1, wanted=50, available=Msat(available)
        )

    assert limit(99) == 0
    assert limit(100) == 50


@given(
    pricing=pricings,
    prices=list_prices,
    body_bytes=st.integers(0, 10**5),
    choices=st.integers(1, 8),
    wanted=st.integers(1, 10**5),
    available=st.integers(0, 10**9).map(Msat),
)
def test_the_limit_is_the_largest_whose_hold_is_covered(
    *, pricing, prices, body_bytes, choices, wanted, available
):
    def hold(output_limit: int) -> Msat:
        return hold_msat(
            pricing, prices, body_bytes=body_bytes, choices=choices, output_limit=output_limit
        )

    limit = affordable_output_limit(
        pricing, prices, body_bytes=body_bytes, choices=choices, wanted=wanted, available=available
    )

    assert 0 <= limit <= wanted
    assert limit == 0 or hold(limit) <= available
    assert limit == wanted or hold(limit + 1) > available
