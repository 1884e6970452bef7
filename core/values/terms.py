"""The terms of business: what the operator has set, as the books and loops need it."""

from dataclasses import dataclass

from core.values.money import MSAT_PER_SAT, Msat, ceil_div


@dataclass(frozen=True, slots=True)
class FeeRule:
    """The cap on a routing fee: a share of the amount, but at least some satoshi."""

    max_percent: int
    max_min_sats: int

    def cap(self, amount: Msat) -> Msat:
        """The most that sending `amount` may cost."""
        share = ceil_div(amount * self.max_percent, 100)
        return Msat(max(share, self.max_min_sats * MSAT_PER_SAT))


@dataclass(frozen=True, slots=True)
class JobTerms:
    """How long jobs wait, how often they are tried, and what is kept of their evaluation fee."""

    eval_fee: Msat
    keeps_fee_on_reject: bool
    invoice_expiry_s: int
    unpaid_ttl_ms: int
    deadline_ms: int
    work_calls_max: int
    retention_ms: int
    refund_fee: FeeRule

    @property
    def eval_calls_max(self) -> int:
        """Evaluation calls a job gets: twice as many as work calls."""
        return 2 * self.work_calls_max


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """What a session may be filled with, and how long its invoices live and are waited for."""

    min_deposit_sats: int
    max_deposit_sats: int
    l402_deposit_sats: int
    invoice_expiry_s: int
    unpaid_ttl_ms: int


@dataclass(frozen=True, slots=True)
class RefundTerms:
    """What is paid back, and at whose cost."""

    min_sats: int
    house_fee_per_day: Msat
    fee_rule: FeeRule
