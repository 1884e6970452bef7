"""Money is missing: the problem that says what to pay, and the L402 challenge in its header.

The order and spacing of the challenge is what every known client parses: aperture's and lnget's
expressions want `macaroon` and `invoice` first, one space after the comma; the specification's own
`version` and `token` follow. Source: github.com/lightninglabs/L402, protocol-specification.md.
"""

from api.problems import Problem
from api.views import invoice_view
from core.desk.till import Challenge, PaymentRequired
from core.values.pay_links import PayUrl
from core.values.tokens import to_l402


def payment_problem(demand: PaymentRequired, *, pay_url: PayUrl) -> Problem:
    """The problem that paying cures."""
    shortage, payment = demand.shortage, demand.payment
    members: dict[str, object] = {"payment": None}
    if payment is not None:
        # The till hands out only what lives on, so no clock is asked whether it is open.
        view = invoice_view(payment, now_ms=payment.created_at_ms, pay_url=pay_url)
        members["payment"] = view.model_dump(mode="json")
    if shortage is not None:
        members |= {"balanceMsat": shortage.balance, "neededMsat": shortage.needed}
    return Problem(
        demand.code if shortage is None else shortage.code,
        demand.detail,
        headers={"WWW-Authenticate": challenge_field(demand.challenge)},
        members=members,
    )


def challenge_field(challenge: Challenge) -> str:
    """The value of the header WWW-Authenticate."""
    macaroon, invoice = to_l402(challenge.macaroon), challenge.invoice.bolt11
    return f'L402 macaroon="{macaroon}", invoice="{invoice}", version="0", token="{macaroon}"'
