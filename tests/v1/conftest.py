"""A market for each test."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from tests.api.conftest import OpenShop, open_shop
from tests.simulator.model import SimulatedModel
from tests.v1.market import MODELS, UPSTREAM_KEY, Market

__all__ = ["open_shop"]

OpenMarket = Callable[..., Awaitable[Market]]


@pytest.fixture
async def open_market(open_shop: OpenShop) -> AsyncIterator[OpenMarket]:
    """Open markets with these settings."""
    async with AsyncExitStack() as stack:

        async def opened(**settings: str) -> Market:
            upstream = await stack.enter_async_context(SimulatedModel())
            upstream.settings.api_key = UPSTREAM_KEY
            defaults = {
                "AGENT__KIND": "openai",
                "AGENT__OPENAI__BASE_URL": upstream.url,
                "AGENT__OPENAI__API_KEY": UPSTREAM_KEY,
                "AGENT__OPENAI__TIMEOUT_S": "1",
                "MODELS": json.dumps(MODELS),
                "PRICING__MIN_REQUEST_MSAT": "1",
                "LIMITS__REQUESTS_PER_MINUTE": "0",
            }
            return Market(await open_shop(**{**defaults, **settings}), upstream)

        yield opened


@pytest.fixture
async def market(open_market: OpenMarket) -> Market:
    """A market whose upstream is silent for at most a second."""
    return await open_market()
