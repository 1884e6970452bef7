"""Metering: a request's hold before the model is called, its charge before the last bytes leave.

Both are one durable transaction. The hold is the most that the request can cost; what it allows is
found from what the session has free, from every budget of the token and from its largest request.
"""

import secrets
from dataclasses import dataclass
from typing import Literal

from core.books import budgets, credentials, freezes, ledger
from core.books.credentials import Bearer
from core.books.ledger import Account, Leg, Transfer
from core.store.port import Tx
from core.values import pricing
from core.values.caveats import Caveats
from core.values.errors import Forbidden, RateLimited, Refused, WrongState
from core.values.money import NOTHING, Msat
from core.values.pricing import Prices, Pricing

JobPart = Literal["fee", "price"]


@dataclass(frozen=True, slots=True)
class Ask:
    """The size of a request. `wanted` is the output limit that the client, else the model, sets."""

    model_id: str
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
    is_budgeted: bool


@dataclass(frozen=True, slots=True)
class Charged:
    """What a request cost, and what is left."""

    cost: Msat
    balance: Msat


class MoneyMissing(Refused):
    """Only more money helps; paying cures it.

    `deposited` is what had ever come in when this was found; `balance` and `needed` are None for
    a session that was never credited.
    """

    code = "insufficient_balance"

    def __init__(
        self,
        session_id: str,
        *,
        missing: Msat,
        deposited: Msat,
        balance: Msat,
        needed: Msat,
    ) -> None:
        super().__init__("The balance does not cover this request.")
        self.session_id = session_id
        self.missing = missing
        self.deposited = deposited
        self.balance = balance
        self.needed = needed


async def reserve(
    tx: Tx, bearer: Bearer, ask: Ask, *, terms: Pricing, owner: str, expires_at_ms: int
) -> Hold:
    """Set aside the most that this request can cost, at the largest output limit that is allowed.

    Raises, before anything is written: Unauthorized, WrongState, Forbidden (a limit of the token
    binds), MoneyMissing, RateLimited (only running requests stand in the way).
    """
    session_id = await spending(tx, bearer)
    caveats = bearer.token.caveats
    check_model(caveats, ask.model_id)
    # In the order of time, so that the newest rows share pages of the database.
    hold_id = f"{expires_at_ms:012x}{secrets.token_hex(10)}"
    bounds = await _bounds(tx, session_id, caveats)
    most = _hold_msat(terms, ask, ask.wanted)
    if most <= min(bounds.now) and await ledger.hold_if_free(
        tx, hold_id, session_id, most, expires_at_ms, owner=owner
    ):
        await budgets.hold(tx, hold_id, session_id, caveats.budgets, most)
        return Hold(hold_id, session_id, most, ask.wanted, is_budgeted=bool(caveats.budgets))
    account = await ledger.account(tx, session_id)
    assert account is not None, "a session has an account"
    output_limit = _affordable(terms, ask, account, bounds)
    amount = _hold_msat(terms, ask, output_limit)
    await ledger.hold(tx, hold_id, session_id, amount, expires_at_ms, owner=owner)
    await budgets.hold(tx, hold_id, session_id, caveats.budgets, amount)
    return Hold(hold_id, session_id, amount, output_limit, is_budgeted=bool(caveats.budgets))


def _affordable(terms: Pricing, ask: Ask, account: Account, bounds: "_Bounds") -> int:
    """The largest output limit that is allowed now. Raises as `reserve`."""
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
        raise money_missing(account, _hold_msat(terms, ask, ask.wanted))
    return output_limit


async def charge(tx: Tx, hold: Hold, cost: Msat, *, ref: str, now_ms: int) -> Charged:
    """Turn a hold into its charge. Raises `ledger.HoldResolved` where it was given up meanwhile."""
    balance = await ledger.charge(tx, hold.hold_id, cost, ref=ref, now_ms=now_ms)
    if hold.is_budgeted:
        await budgets.resolve(tx, hold.hold_id, cost)
    return Charged(cost, balance)


async def release(tx: Tx, hold_id: str, now_ms: int) -> None:
    """Give a hold back whole: the request came to nothing, or its process did."""
    await ledger.post(tx, hold_id, NOTHING, ref=hold_id, now_ms=now_ms)
    await budgets.resolve(tx, hold_id, NOTHING)


async def take(
    tx: Tx,
    session_id: str,
    caveats: Caveats,
    amount: Msat,
    *,
    part: JobPart,
    job_id: str,
    now_ms: int,
) -> None:
    """Pay a part of a job from its session: the money moves to the job's account.

    Against the budgets it counts as held until the job ends. Raises, before anything is written:
    Forbidden, RateLimited, MoneyMissing.
    """
    if not amount:
        return
    account = await ledger.account(tx, session_id)
    assert account is not None, "a session has an account"
    bounds = await _bounds(tx, session_id, caveats)
    if amount > min(bounds.later):
        raise Forbidden("The job costs more than the token's own limits allow.")
    if amount > account.balance:
        raise money_missing(account, amount)
    if amount > min(account.free, *bounds.now):
        raise RateLimited("Running requests hold the money; try again.", retry_after_s=1)
    await ledger.transfer(
        tx,
        Transfer(f"{part}:{job_id}", "charge", job_id, now_ms),
        [Leg(session_id, Msat(-amount)), Leg(job_id, amount)],
    )
    await budgets.hold(tx, f"{part}:{job_id}", session_id, caveats.budgets, amount)


async def end_job(tx: Tx, job_id: str, *, fee: Msat, price: Msat) -> None:
    """Count against the budgets what of a job's fee and price was earned."""
    await budgets.resolve(tx, f"fee:{job_id}", fee)
    await budgets.resolve(tx, f"price:{job_id}", price)


async def spending(tx: Tx, bearer: Bearer) -> str:
    """The session that this bearer may spend. Raises Unauthorized, WrongState."""
    standing = await credentials.standing(tx, bearer)
    if standing.state == "closed":
        raise WrongState("The session is closed; nothing new can be spent.")
    await freezes.check(tx, standing.session_id)
    return standing.session_id


def check_model(caveats: Caveats, model_id: str) -> None:
    """Raise Forbidden where the token is not for this model."""
    if not caveats.allows_model(model_id):
        raise Forbidden(f"The token does not allow the model {model_id}.")


def money_missing(account: Account, needed: Msat) -> MoneyMissing:
    """What to say where `needed` is more than the account has free."""
    return MoneyMissing(
        account.account_id,
        missing=Msat(needed - account.free),
        deposited=account.deposited,
        balance=account.balance,
        needed=needed,
    )


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The token's own limits: as they are now, and once running holds are released."""

    now: tuple[Msat, ...]
    later: tuple[Msat, ...]


_NO_BOUND = Msat(2**62)


async def _bounds(tx: Tx, session_id: str, caveats: Caveats) -> _Bounds:
    largest = caveats.max_request_msat
    fixed = _NO_BOUND if largest is None else largest
    left = [await budgets.left(tx, session_id, budget) for budget in caveats.budgets]
    return _Bounds((fixed, *(now for now, _ in left)), (fixed, *(later for _, later in left)))


def _hold_msat(terms: Pricing, ask: Ask, output_limit: int) -> Msat:
    return pricing.hold_msat(
        terms,
        ask.prices,
        body_bytes=ask.body_bytes,
        choices=ask.choices,
        output_limit=output_limit,
    )
