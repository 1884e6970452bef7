"""A desk for each test, on each database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from core.app import open_core
from core.config import load
from tests.conftest import Database
from tests.desk.counter import Counter, QuietWallet
from tests.emptied import shared_store
from tests.hand_clock import HandClock

__all__ = ["counter", "shared_store"]


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Counter]:
    clock = HandClock()
    wallet = QuietWallet.open(database.data_dir, clock=clock)
    settings = {
        "SERVER__DATA_DIR": str(database.data_dir),
        "DATABASE__URL": database.url,
        "LIMITS__OPEN_INVOICES_PER_CLIENT": "10",
    }
    config = load(None, {f"BOLTWORK_{name}": text for name, text in settings.items()})
    async with open_core(config, wallet=wallet, clock=clock) as core:
        yield Counter(core, wallet, clock)


@pytest.fixture
async def counter(database: Database) -> AsyncIterator[Counter]:
    async with opened(database) as counter:
        yield counter


@pytest.fixture
async def two_counters(postgres_database: Database) -> AsyncIterator[tuple[Counter, Counter]]:
    """Two processes on one database."""
    async with opened(postgres_database) as one, opened(postgres_database) as other:
        yield one, other
