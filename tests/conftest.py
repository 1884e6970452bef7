"""Fixtures for all tests: databases of both kinds, and a store on each."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from core.store.bulletin import Bulletin
from core.store.migrate import Migration, load
from core.store.postgres import PostgresStore
from core.store.sqlite import SqliteStore
from tests.postgres_server import PostgresServer, postgres_server

NOW_MS = 1_800_000_000_000

# How long a test takes says more of the machine than of the code; `make bench` measures.
settings.register_profile("boltwork", deadline=None)
settings.load_profile("boltwork")


@dataclass(frozen=True, slots=True)
class Database:
    """A database for one test: what the configuration says of it, and stores on it."""

    kind: str
    url: str
    data_dir: Path

    async def open(
        self, migrations: list[Migration] | None = None, bulletin: Bulletin | None = None
    ) -> SqliteStore | PostgresStore:
        """A store on this database, with the program's own schema unless another is given."""
        schema = load() if migrations is None else migrations
        news = bulletin or Bulletin()
        if self.kind == "sqlite":
            return await SqliteStore.open(self.data_dir / "boltwork.db", schema, news, NOW_MS)
        return await PostgresStore.open(self.url, schema, news, NOW_MS)


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


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database of each kind, to start the whole program on: `url` for the configuration."""
    if request.param == "sqlite":
        yield Database("sqlite", "sqlite", tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = await server.create(await _template(server, tmp_path))
    yield Database("postgres", server.dsn_of(name), tmp_path)
    await server.drop(name)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[SqliteStore | PostgresStore]:
    """An open store of each kind with the program's schema."""
    opened = await database.open()
    yield opened
    await opened.aclose()


async def _template(server: PostgresServer, tmp_path: Path) -> str:
    """The name of a database with the program's schema, made once for each process."""
    if "program" not in server.templates:
        name = await server.create()
        opened = await Database("postgres", server.dsn_of(name), tmp_path).open()
        await opened.aclose()
        server.templates["program"] = name
    return server.templates["program"]
