"""Fifty balances for ten requests, each against a crowd of a hundred: about half a minute."""

import pytest

from tests.conftest import Database
from tests.v1.conftest import OpenMarket, open_market, open_shop
from tests.v1.just_enough import sell_one_by_one, sell_to_a_crowd

__all__ = ["open_market", "open_shop"]

ROUNDS = 50


@pytest.mark.parametrize("sell", [sell_to_a_crowd, sell_one_by_one])
async def test_a_balance_for_ten_serves_ten(
    open_market: OpenMarket, database: Database, sell
) -> None:
    url = {} if database.kind == "sqlite" else {"DATABASE__URL": database.url}
    market = await open_market(**url)
    for _ in range(ROUNDS):
        await sell(market)
