"""Metering under contention: a balance and every budget hold, whoever asks at the same moment."""

import asyncio
from collections import Counter

import pytest

from core.books import ledger, metering
from core.books.audit import audit
from core.books.ledger import HoldResolved
from core.books.metering import Ask, MoneyMissing
from core.values.errors import Forbidden, RateLimited, Unauthorized, WrongState
from core.values.money import Msat
from core.values.pricing import Prices, Pricing
from tests.books.paid_jobs import NOW_MS
from tests.books.paid_sessions import SessionBooks, budget

pytestmark = pytest.mark.asyncio(loop_scope="module")

TERMS = Pricing(
    eval_fee_sats=21,
    eval_fee_on_reject="keep",
    base_msat=0,
    min_sats=10,
    max_sats=1_000,
    min_request_msat=1_000,
    min_output_tokens=16,
)
EACH = Msat(10_000)
FLAT = Ask("sold", Prices(1_000, 0), body_bytes=EACH, choices=1, wanted=100)
LATER_MS = NOW_MS + 3_600_000


@pytest.fixture
def books(shared_store):
    return SessionBooks(shared_store)


async def reserve(books, bearer, ask=FLAT):
    return await books.store.write(
        metering.reserve, bearer, ask, terms=TERMS, owner="", expires_at_ms=LATER_MS
    )


async def charge(books, hold, cost=EACH):
    return await books.store.write(metering.charge, hold, cost, ref="a request", now_ms=NOW_MS)


async def release(books, hold):
    await books.store.write(metering.release, hold.hold_id, NOW_MS)


async def bought(books, bearer, cost=EACH):
    """Whether a request was served, or how it was refused."""
    try:
        hold = await reserve(books, bearer)
    except (RateLimited, MoneyMissing, Forbidden) as refusal:
        return type(refusal)
    await charge(books, hold, cost)
    return True


async def account(books, bearer):
    return await books.store.read(ledger.account, await books.session_of(bearer))


async def test_of_a_hundred_at_once_a_balance_for_ten_serves_ten(books):
    bearer = await books.fill(Msat(10 * EACH))

    outcomes = Counter(await asyncio.gather(*(bought(books, bearer) for _ in range(100))))

    assert outcomes[True] == 10
    assert outcomes.keys() <= {True, RateLimited, MoneyMissing}
    found = await account(books, bearer)
    assert (found.balance, found.held, found.spent) == (0, 0, 10 * EACH)
    assert await books.store.read(audit) == []


async def test_what_is_not_used_of_a_hold_serves_others(books):
    bearer = await books.fill(Msat(10 * EACH))

    served = 0
    while served < 10:
        outcomes = await asyncio.gather(*(bought(books, bearer, Msat(5_000)) for _ in range(20)))
        served += outcomes.count(True)

    found = await account(books, bearer)
    assert found.balance == 10 * EACH - served * 5_000 >= 0
    assert found.held == 0
    assert await books.store.read(audit) == []


async def test_only_holds_in_the_way_are_told_from_missing_money(books):
    bearer = await books.fill(EACH)
    hold = await reserve(books, bearer)

    with pytest.raises(RateLimited):
        await reserve(books, bearer)
    await release(books, hold)
    await charge(books, await reserve(books, bearer))
    with pytest.raises(MoneyMissing) as found:
        await reserve(books, bearer)

    assert (found.value.missing, found.value.balance, found.value.needed) == (EACH, 0, EACH)


async def test_siblings_of_one_budget_never_overspend_it_together(books):
    root = await books.fill(Msat(100 * EACH))
    parent = await books.child(root, budget(6 * EACH + 1))
    siblings = [await books.child(parent) for _ in range(3)]

    outcomes = Counter(
        await asyncio.gather(*(bought(books, siblings[number % 3]) for number in range(100)))
    )

    assert outcomes[True] == 6
    assert outcomes.keys() <= {True, RateLimited, Forbidden}
    assert (await account(books, root)).spent == 6 * EACH
    assert await books.store.read(audit) == []


async def test_budgets_three_levels_deep_hold_each_on_its_own(books):
    root = await books.fill(Msat(100 * EACH))
    top = await books.child(root, budget(10 * EACH))
    middle = await books.child(top, budget(6 * EACH))
    bottom = await books.child(middle, budget(3 * EACH))
    levels = (top, middle, bottom)

    async def ask(number):
        level = number % 3
        return level if await bought(books, levels[level]) is True else None

    served = Counter(await asyncio.gather(*(ask(number) for number in range(99))))

    assert served[2] <= 3
    assert served[2] + served[1] <= 6
    assert served[2] + served[1] + served[0] == 10
    assert (await account(books, root)).spent == 10 * EACH
    assert await books.store.read(audit) == []


async def test_a_released_hold_gives_its_budget_back(books):
    root = await books.fill()
    child = await books.child(root, budget(EACH))

    for _ in range(3):
        await release(books, await reserve(books, child))
    await charge(books, await reserve(books, child))

    with pytest.raises(Forbidden):
        await reserve(books, child)


async def test_the_output_limit_is_lowered_to_the_tightest_of_all_bounds(books):
    root = await books.fill(Msat(1_000_000))
    ask = Ask("sold", Prices(1_000, 1_000), body_bytes=1_000, choices=2, wanted=900_000)
    wide = await books.child(root, budget(500_000))
    narrow = await books.child(wide, "max_request_msat=101001")

    by_balance = await reserve(books, root, ask)
    await release(books, by_balance)
    by_budget = await reserve(books, wide, ask)
    await release(books, by_budget)
    by_request = await reserve(books, narrow, ask)

    assert by_balance.output_limit == 499_500
    assert by_budget.output_limit == 249_500
    assert (by_request.output_limit, by_request.amount) == (50_000, 101_000)


async def test_a_hold_is_resolved_once(books):
    bearer = await books.fill()
    released, charged = await reserve(books, bearer), await reserve(books, bearer)

    await release(books, released)
    await release(books, released)
    first = await charge(books, charged)
    again = await charge(books, charged)

    assert first == again
    with pytest.raises(HoldResolved):
        await charge(books, released)
    with pytest.raises(HoldResolved):
        await release(books, charged)
    assert await books.store.read(audit) == []


async def test_a_closed_session_and_a_revoked_token_hold_nothing(books):
    bearer = await books.fill()
    child = await books.child(bearer)
    await books.revoke(child)

    with pytest.raises(Unauthorized):
        await reserve(books, child)
    await books.close(bearer)
    with pytest.raises(WrongState):
        await reserve(books, bearer)
