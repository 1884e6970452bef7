"""Prices: what a job and a request cost, in integers, each rounded once and upwards.

A job is quoted in whole satoshi before its work; a request of a session is held at the most it
can cost and charged, in millisatoshi, for what it used. List prices are msat per 1,000 tokens.
"""

from dataclasses import dataclass
from typing import Literal

from core.values.money import Msat, ceil_div

BYTES_PER_TOKEN = 4  # the usual estimate for text; also the stand-in where no usage is reported
WORK_OUTPUT_TOKENS_MIN = 1024
WORK_OUTPUT_MARGIN = 4  # a model's estimate of its own output may be this much too low


@dataclass(frozen=True, slots=True)
class Prices:
    """The list price of a model."""

    input_msat_per_1k: int
    output_msat_per_1k: int


@dataclass(frozen=True, slots=True)
class Pricing:
    """What the operator asks for beside the list price of the model."""

    eval_fee_sats: int
    eval_fee_on_reject: Literal["keep", "return"]
    base_msat: int
    min_sats: int  # at least 1
    max_sats: int
    min_request_msat: int
    min_output_tokens: int  # a request that can afford fewer is not begun


# Jobs


def price_sats(pricing: Pricing, prices: Prices, *, input_tokens: int, output_tokens: int) -> int:
    """The price of a job of this size, within the operator's bounds."""
    millionths = pricing.base_msat * 1000 + _thousandths(prices, input_tokens, output_tokens)
    return min(max(ceil_div(millionths, 1_000_000), pricing.min_sats), pricing.max_sats)


def estimated_tokens(*texts: str) -> int:
    """The size of these texts together, from their bytes in UTF-8."""
    return ceil_div(sum(len(text.encode()) for text in texts), BYTES_PER_TOKEN)


def clamp_estimate(output_tokens: int, max_output_tokens: int) -> int:
    """A verdict's estimate as far as it can be true."""
    return min(max(output_tokens, 1), max_output_tokens)


def work_output_limit(max_output_tokens: int, quote_output_tokens: int) -> int:
    """The `max_tokens` that the work of a job quoted like this runs with."""
    ample = max(WORK_OUTPUT_TOKENS_MIN, WORK_OUTPUT_MARGIN * quote_output_tokens)
    return min(max_output_tokens, ample)


# Requests of a session


def hold_msat(
    pricing: Pricing, prices: Prices, *, body_bytes: int, choices: int, output_limit: int
) -> Msat:
    """The most that a request can cost: no token is shorter than a byte of its body."""
    most = _thousandths(prices, body_bytes, choices * output_limit)
    return Msat(max(pricing.min_request_msat, ceil_div(most, 1000)))


def affordable_output_limit(
    pricing: Pricing,
    prices: Prices,
    *,
    body_bytes: int,
    choices: int,
    wanted: int,
    available: Msat,
) -> int:
    """The largest output limit up to `wanted` whose hold `available` covers; 0 if there is none."""
    left = available * 1000 - _thousandths(prices, body_bytes, 0)
    if left < 0 or available < pricing.min_request_msat:
        return 0
    thousandths_each = choices * prices.output_msat_per_1k
    return min(wanted, left // thousandths_each) if thousandths_each else wanted


def request_cost_msat(
    pricing: Pricing, prices: Prices, *, input_tokens: int, output_tokens: int, hold: Msat
) -> Msat:
    """The charge for what a request has used, never more than its hold."""
    used = ceil_div(_thousandths(prices, input_tokens, output_tokens), 1000)
    return Msat(min(max(used, pricing.min_request_msat), hold))


def _thousandths(prices: Prices, input_tokens: int, output_tokens: int) -> int:
    """The list price in thousandths of an msat, which is exact."""
    return input_tokens * prices.input_msat_per_1k + output_tokens * prices.output_msat_per_1k
