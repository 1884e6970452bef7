"""What the loops look for every second, in small books and in large ones: `python -m bench.scans`.

Each scan is the program's own function on the program's own schema. The same few rows are open in
both books, the rest was settled long ago. Goals: what is due within 50 us, 1,000 open invoices
within 300 us, and nothing more than a quarter dearer in the large books. PostgreSQL pays a round
trip for each scan, and gets a tenth of the rows. The program then starts on the large books.
"""

import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.figures import Effort, Figure, main
from bench.full_books import NOW_MS, fill_postgres, fill_sqlite
from bench.process import start
from bench.servers import boltwork
from core.books import invoices, job_rows, ledger, sessions
from core.store.bulletin import Bulletin
from core.store.migrate import load
from core.store.port import Row, Store, Tx
from core.store.postgres import PostgresStore
from core.store.sqlite import SqliteStore
from tests.postgres_server import private_server

SMALL = 1_000
CALLS = 30
TURNS = 5  # small and large take turns in each round: the machine is not quiet for long
GROWTH_MAX = 1.25

Scan = Callable[[Tx], Awaitable[object]]

# name: the scan, and the microseconds it may take
SCANS: dict[str, tuple[Scan, float | None]] = {
    "when is a job due": (job_rows.next_due_ms, 50),
    "lease jobs, none due": (
        partial(job_rows.lease_due, owner="me", now_ms=0, until_ms=0, limit=64),
        50,
    ),
    "jobs in the queue": (partial(job_rows.count_due, limit=1_000), None),
    "10 unpaid jobs": (partial(job_rows.waited_out, now_ms=NOW_MS, limit=100), None),
    "10 overdue jobs": (partial(job_rows.overdue, now_ms=NOW_MS, limit=100), None),
    "10 unpaid sessions": (partial(sessions.waited_out, now_ms=NOW_MS, limit=100), None),
    "10 stale holds of 1,000": (partial(ledger.stale_holds, now_ms=NOW_MS), None),
    "1,000 open invoices": (partial(invoices.count_open, client="192.0.2.1", now_ms=NOW_MS), 300),
}
_INDEX = re.compile(r"(?:INDEX|using|Bitmap Index Scan on) (\w+)")


@dataclass(frozen=True, slots=True)
class Books:
    """The same database in two sizes."""

    small: Store
    large: Store
    settled: int


@dataclass(frozen=True, slots=True)
class Looked:
    """What a scan took in the large books, how much more than in the small, and by which way."""

    large_us: float
    growth: float
    way: str


async def measure(effort: Effort) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        async with sqlite_books(Path(folder), effort.rows) as books:
            found = await look(books, effort)
            figures = [
                *(each_scan(name, looked) for name, looked in found.items()),
                steepest("SQLite", books, found),
                await count_all("SQLite", books),
            ]
        figures.append(await start_on(Path(folder), effort))
    async with postgres_books(effort.rows // 10) as books:
        found = await look(books, effort)
        figures += [steepest("PostgreSQL", books, found), await count_all("PostgreSQL", books)]
    return figures


async def look(books: Books, effort: Effort) -> dict[str, Looked]:
    """Run every scan in the small and in the large books, in turn."""
    found = {}
    for name, (scan, _) in SCANS.items():
        small, large = [], []
        for _ in range(effort.rounds * TURNS):
            small.append(await books.small.write(microseconds, scan))
            large.append(await books.large.write(microseconds, scan))
        small_us, large_us = statistics.median(small), statistics.median(large)
        way = await books.large.write(way_of, scan)
        found[name] = Looked(large_us, large_us / small_us, way)
    return found


def each_scan(name: str, looked: Looked) -> Figure:
    detail = f"{looked.growth:.2f}x, {looked.way}"
    return Figure(f"SQLite, {name}", looked.large_us, "us", at_most=SCANS[name][1], detail=detail)


def steepest(database: str, books: Books, found: dict[str, Looked]) -> Figure:
    name, looked = max(found.items(), key=lambda scan: scan[1].growth)
    return Figure(
        f"{database}, steepest scan from {SMALL:,} to {books.settled:,} rows",
        looked.growth,
        "x",
        at_most=GROWTH_MAX,
        detail=f"{name}, {looked.large_us:,.0f} us, {looked.way}",
    )


async def count_all(database: str, books: Books) -> Figure:
    """The one look that reads an index from end to end, each time the metrics are asked for."""
    times = [await books.large.read(microseconds_once, job_rows.count_by_state) for _ in range(3)]
    return Figure(f"{database}, count all jobs for /metrics", min(times) / 1e3, "ms")


async def microseconds(tx: Tx, scan: Scan) -> float:
    """The median of many calls in one transaction, after the first."""
    await scan(tx)
    return statistics.median([await microseconds_once(tx, scan) for _ in range(CALLS)])


async def microseconds_once(tx: Tx, scan: Scan) -> float:
    began_s = time.perf_counter()
    await scan(tx)
    return (time.perf_counter() - began_s) * 1e6


async def way_of(tx: Tx, scan: Scan) -> str:
    """The indexes that the database takes for this scan, or what it reads whole."""
    explained = Explained(tx)
    await scan(explained)
    return ", ".join(dict.fromkeys(_INDEX.findall(explained.plan))) or "no index"


class Explained:
    """A transaction that explains each statement instead of running it."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.plan = ""

    async def run(self, sql: str, **params: object) -> int:
        """Explain."""
        return len(await self.all(sql, **params))

    async def one(self, sql: str, **params: object) -> Row | None:
        """Run a query, which returns a row, and explain it."""
        await self.all(sql, **params)
        return await self._tx.one(sql, **params)

    async def all(self, sql: str, **params: object) -> list[Row]:
        """Explain."""
        is_sqlite = type(self._tx).__name__ == "SqliteTx"
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        for row in await self._tx.all(f"{explain} {sql}", **params):
            self.plan += f"{row['detail' if is_sqlite else 'QUERY PLAN']}\n"
        return []

    def announce(self, topic: str) -> None:
        """Nobody is told."""


async def start_on(folder: Path, effort: Effort) -> Figure:
    """Start the program on the large books."""
    ready_s, _ = await start(boltwork(folder), "/readyz", ready_at=200)
    return Figure(
        f"start on books of {effort.rows:,} rows",
        ready_s,
        "s",
        at_most=3.0,
        detail="1,000 holds open",
    )


@asynccontextmanager
async def sqlite_books(folder: Path, settled: int) -> AsyncIterator[Books]:
    paths = {SMALL: folder / "small.db", settled: folder / "boltwork.db"}
    stores: list[Store] = []
    for size, path in paths.items():
        store: Store = await SqliteStore.open(path, load(), Bulletin(), NOW_MS)
        await fill_sqlite(store, path, size)
        stores.append(store)
    yield Books(small=stores[0], large=stores[1], settled=settled)
    for store in stores:
        await store.aclose()


@asynccontextmanager
async def postgres_books(settled: int) -> AsyncIterator[Books]:
    with private_server(settings="-c fsync=off") as private:
        stores: list[Store] = []
        for size in (SMALL, settled):
            dsn = private.server.dsn_of(await private.server.create())
            store: Store = await PostgresStore.open(dsn, load(), Bulletin(), NOW_MS)
            await fill_postgres(store, dsn, size)
            stores.append(store)
        yield Books(small=stores[0], large=stores[1], settled=settled)
        for store in stores:
            await store.aclose()


if __name__ == "__main__":
    main(measure)
