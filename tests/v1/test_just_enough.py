"""A balance is spent to its last millisatoshi, and never beyond."""

import pytest

from tests.conftest import Database
from tests.v1.conftest import OpenMarket
from tests.v1.just_enough import sell_one_by_one, sell_to_a_crowd
from tests.v1.market import Market


@pytest.fixture
async def market(open_market: OpenMarket, database: Database) -> Market:
    url = {} if database.kind == "sqlite" else {"DATABASE__URL": database.url}
    return await open_market(**url)


async def test_of_a_hundred_at_once_a_balance_for_ten_serves_ten_at_most(market: Market) -> None:
    await sell_to_a_crowd(market)


async def test_one_by_one_exactly_ten_are_served(market: Market) -> None:
    await sell_one_by_one(market)
