"""A store with the till's schema on each database."""

from collections.abc import AsyncIterator

import pytest

from core.store.postgres import PostgresStore
from core.store.sqlite import SqliteStore
from tests.conftest import Database
from tests.store.till import SCHEMA


@pytest.fixture
async def till(empty_database: Database) -> AsyncIterator[SqliteStore | PostgresStore]:
    store = await empty_database.open(SCHEMA)
    yield store
    await store.aclose()
