"""A simulated Bot API, and the real library as its client."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from telegram import Bot
from telegram.request import HTTPXRequest

from tests.simulator.bot_api import SimulatedBotApi

_PLAIN: Final = {"verify": False}  # no TLS on loopback; reading all certificates takes 0.1 s


def bot_of(sim: SimulatedBotApi, token: str | None = None) -> Bot:
    return Bot(
        token or sim.token,
        base_url=f"{sim.url}/bot",
        base_file_url=f"{sim.url}/file/bot",
        request=HTTPXRequest(connection_pool_size=8, read_timeout=5, httpx_kwargs=_PLAIN),
        get_updates_request=HTTPXRequest(
            connection_pool_size=4, read_timeout=5, httpx_kwargs=_PLAIN
        ),
    )


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedBotApi]:
    async with SimulatedBotApi() as simulated:
        yield simulated


@pytest.fixture
async def bot(sim: SimulatedBotApi) -> AsyncIterator[Bot]:
    async with bot_of(sim) as client:
        yield client
