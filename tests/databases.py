"""A database for one test, of either kind."""

from dataclasses import dataclass
from pathlib import Path

from core.store.bulletin import Bulletin
from core.store.migrate import Migration, load
from core.store.postgres import PostgresStore
from core.store.sqlite import SqliteStore

NOW_MS = 1_800_000_000_000


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
