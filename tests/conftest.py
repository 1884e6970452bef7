"""Fixtures for all tests: databases of both kinds, and a store on each."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from core.store.postgres import PostgresStore
from core.store.sqlite import SqliteStore
from tests.databases import NOW_MS, Database
from tests.emptied import database
from tests.postgres_server import PostgresServer, postgres_server

__all__ = ["NOW_MS", "Database", "database"]

# How long a test takes says more of the machine than of the code; `make bench` measures.
settings.register_profile("boltwork", deadline=None)
settings.load_profile("boltwork")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of this process."""
    with postgres_server() as server:
        yield server


@pytest.fixture
async def postgres_database(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty PostgreSQL database."""
    name = await postgres.create()
    yield Database("postgres", postgres.dsn_of(name), tmp_path)
    await postgres.drop(name)


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Database:
    """A SQLite database that is not there yet."""
    return Database("sqlite", "sqlite", tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
async def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database of each kind, without a schema."""
    if request.param == "sqlite":
        yield Database("sqlite", "sqlite", tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = await server.create()
    yield Database("postgres", server.dsn_of(name), tmp_path)
    await server.drop(name)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[SqliteStore | PostgresStore]:
    """An open store of each kind with the program's schema."""
    opened = await database.open()
    yield opened
    await opened.aclose()
