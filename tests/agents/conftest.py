"""An upstream for each test, and agents that speak to it."""

from collections.abc import AsyncIterator

import pytest

from core.agents.openai_sdk import OpenAIAgent
from tests.agents.asking import agent_for
from tests.simulator.model import SimulatedModel


@pytest.fixture
async def upstream() -> AsyncIterator[SimulatedModel]:
    async with SimulatedModel() as model:
        yield model


@pytest.fixture
async def openai_agent(upstream: SimulatedModel) -> AsyncIterator[OpenAIAgent]:
    opened = agent_for(upstream, timeout_s=5)
    yield opened
    await opened.aclose()


@pytest.fixture
async def hasty_agent(upstream: SimulatedModel) -> AsyncIterator[OpenAIAgent]:
    opened = agent_for(upstream, timeout_s=0.2)
    yield opened
    await opened.aclose()
