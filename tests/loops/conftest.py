"""The databases of these tests, and a whole core on each."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Database
from tests.emptied import shared_store
from tests.world import World, opened

__all__ = ["shared_store", "world"]


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with opened(database) as world:
        yield world
