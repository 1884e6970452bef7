"""Metering: a request's hold before the model is called, its charge before the last bytes leave.

Both are one durable transaction. The hold is the most that the request can cost; what it allows is
found from what the session has free, from every budget of the token and from its largest request.
"""

from dataclasses import dataclass
from typing import assert_never

from core.books import budgets, credentials, ledger
from core.books.credentials import Bearer
from core.store.port import Tx
from core.values import pricing
from core.values.errors import Forbidden, RateLimited, Refused, WrongState
from core.values.money import Msat
from core.values.pricing import Prices, Pricing
from core.values.tokens import Token


@dataclass(frozen=True, slots=True)
class Ask:
    """The size of a request. `wanted` is the output limit that the client, else the model, sets."""

    prices: Prices
    body_bytes: int
    choices: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Money set aside for one request, and the output limit that it pays for."""

    hold_id: str
    session_id: str
    amount: Msat
    output_limit: int


@dataclass(frozen=True, slots=True)
class Charged:
    """What a request cost, and what is left."""

    cost: Msat
    balance: Msat


class MoneyMissing(Refused):
    """Only more money helps; paying cures it."""

    code = "insufficient_balance"

    def __init__(self, session_id: str, *, balance: Msat, needed: Msat, missing: Msat) -> None:
        super().__init__("The balance does not cover this request.")
        self.session_id = session_id
        self.balance = balance
        self.needed = needed
        self.missing = missing


class NeverCredited(Refused):
    """The session waits for its first credit: the wallet must be asked before this is believed."""

    code = "insufficient_balance"

    def __init__(self, session_id: str) -> None:
        super().__init__("The session's deposit has not been seen yet.")
        self.session_id = session_id


async def reserve(
    tx: Tx, bearer: Bearer, ask: Ask, *, hold_id: str, terms: Pricing, expires_at_ms: int
) -> Hold:
    """Set aside the most that this request can cost, at the largest output limit that is allowed.

    Raises, before anything is written: Unauthorized, WrongState, NeverCredited, Forbidden (a limit
    of the token binds), MoneyMissing, RateLimited (only running requests stand in the way).
    """
    session_id = await _spending(tx, bearer)
    account = await ledger.account(tx, session_id)
    assert account is not None, "a session has an account"
    bounds = await _bounds(tx, session_id, bearer.token)
    floor = min(terms.min_output_tokens, ask.wanted)

    def limit_within(available: Msat) -> int:
        limit = pricing.affordable_output_limit(
            terms,
            ask.prices,
            body_bytes=ask.body_bytes,
            choices=ask.choices,
            wanted=ask.wanted,
            available=available,
        )
        return limit if limit >= floor else 0

    output_limit = limit_within(min(account.free, *bounds.now))
    if not output_limit:
        if not limit_within(min(bounds.later)):
            raise Forbidden("The request costs more than the token's own limits allow.")
        if limit_within(min(account.balance, *bounds.later)):
            raise RateLimited("Running requests hold the money; try again.", retry_after_s=1)
        needed = _hold_msat(terms, ask, ask.wanted)
        raise MoneyMissing(
            session_id,
            balance=account.balance,
            needed=needed,
            missing=Msat(needed - account.free),
        )
    amount = _hold_msat(terms, ask, output_limit)
    await ledger.hold(tx, hold_id, session_id, amount, expires_at_ms)
    await budgets.hold(tx, hold_id, session_id, bearer.token.caveats.budgets, amount)
    return Hold(hold_id, session_id, amount, output_limit)


async def charge(tx: Tx, hold: Hold, cost: Msat, *, ref: str, now_ms: int) -> Charged:
    """Turn a hold into its charge; 0 releases it. The same again is no change."""
    await ledger.post(tx, hold.hold_id, cost, ref=ref, now_ms=now_ms)
    await budgets.resolve(tx, hold.hold_id, cost)
    account = await ledger.account(tx, hold.session_id)
    assert account is not None, "a session has an account"
    return Charged(cost, account.balance)


async def _spending(tx: Tx, bearer: Bearer) -> str:
    """The session that may be spent. Raises Unauthorized, WrongState, NeverCredited."""
    standing = await credentials.standing(tx, bearer)
    match standing.state:
        case "active":
            return standing.session_id
        case "closed":
            raise WrongState("The session is closed; nothing new can be spent.")
        case "awaiting_deposit":
            raise NeverCredited(standing.session_id)
        case "ended":
            raise AssertionError("an ended session has no standing")
        case _:
            assert_never(standing.state)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The token's own limits: as they are now, and once running holds are released."""

    now: tuple[Msat, ...]
    later: tuple[Msat, ...]


_NO_BOUND = Msat(2**62)


async def _bounds(tx: Tx, session_id: str, token: Token) -> _Bounds:
    largest = token.caveats.max_request_msat
    fixed = _NO_BOUND if largest is None else largest
    left = [await budgets.left(tx, session_id, budget) for budget in token.caveats.budgets]
    return _Bounds((fixed, *(now for now, _ in left)), (fixed, *(later for _, later in left)))


def _hold_msat(terms: Pricing, ask: Ask, output_limit: int) -> Msat:
    return pricing.hold_msat(
        terms,
        ask.prices,
        body_bytes=ask.body_bytes,
        choices=ask.choices,
        output_limit=output_limit,
    )
