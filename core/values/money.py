"""Money: integer millisatoshi, and the two roundings that the product knows.

A charge is rounded up, a payout is rounded down, once, here. No float ever touches an amount.
"""

from typing import Final, NewType

Msat = NewType("Msat", int)

NOTHING: Final = Msat(0)
MSAT_PER_SAT: Final = 1000
SATS_MAX: Final = 21_000_000 * 100_000_000


def from_sats(sats: int) -> Msat:
    """Whole satoshi as millisatoshi."""
    return Msat(sats * MSAT_PER_SAT)


def charge_sats(amount: Msat) -> int:
    """The whole satoshi that a charge of `amount` asks for: rounded up."""
    return ceil_div(amount, MSAT_PER_SAT)


def payout_sats(amount: Msat) -> int:
    """The whole satoshi that a debt of `amount` can pay out: rounded down."""
    return amount // MSAT_PER_SAT


def ceil_div(dividend: int, divisor: int) -> int:
    """Integer division rounded up; `divisor` is positive."""
    return -(-dividend // divisor)
