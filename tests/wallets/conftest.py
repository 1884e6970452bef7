"""Fixtures for the tests of wallets."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from tests.simulator.lnbits import SimulatedLnbits
from tests.wallets.lnbits_world import Lines


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedLnbits]:
    async with SimulatedLnbits() as sim:
        yield sim


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines = Lines()
    with capture_logs(processors=[lines.note]) as lines.entries:
        yield lines
