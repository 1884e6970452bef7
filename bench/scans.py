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
from bench.full_books import MANY, NOW_MS, fill_postgres, fill_sqlite
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
    "1,000 open invoices": (partial(invoices.open_hashes, limit=MANY), 300),
}
_INDEX = re.compile(r"(?:INDEX|using|Bitmap Index Scan on) (\w+)")


@dataclass(frozen=True, slots=True)
class Books:
    """The same database in two sizes."""

    small: Store
    large: Store
    settled: int


async def measure(effort: Effort) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        async with sqlite_books(Path(folder), effort.rows) as books:
            figures = await figures_of("SQLite", books, effort)
        figures.append(await start_on(Path(folder), effort))
    async with postgres_books(effort.rows // 10) as books:
        return figures + await figures_of("PostgreSQL", books, effort)


async def figures_of(database: str, books: Books, effort: Effort) -> list[Figure]:
    found = []
    growths = {}
    for name, (scan, at_most) in SCANS.items():
        small, large = [], []
        for _ in range(effort.rounds * TURNS):
            small.append(await books.small.write(microseconds, scan))
            large.append(await books.large.write(microseconds, scan))
        small_us, large_us = statistics.median(small), statistics.median(large)
        growths[name] = large_us / small_us
        found.append(
            Figure(
                f"{database}, {name}",
                large_us,
                "us",
                at_most=at_most if database == "SQLite" else None,
                detail=f"{growths[name]:.2f}x, {await books.large.write(way_of, scan)}",
            )
        )
    steepest = max(growths, key=growths.__getitem__)
    return [
        *found,
        Figure(
            f"{database}, steepest from {SMALL:,} to {books.settled:,} rows",
            growths[steepest],
            "x",
            at_most=GROWTH_MAX,
            detail=steepest,
        ),
        Figure(
            f"{database}, count all jobs for /metrics",
            await books.large.read(milliseconds_once, job_rows.count_by_state),
            "ms",
            detail=await books.large.read(way_of, job_rows.count_by_state),
        ),
    ]


async def microseconds(tx: Tx, scan: Scan) -> float:
    """The median of many calls in one transaction, after the first."""
    await scan(tx)
    times = []
    for _ in range(CALLS):
        began_s = time.perf_counter()
        await scan(tx)
        times.append(time.perf_counter() - began_s)
    return statistics.median(times) * 1e6


async def milliseconds_once(tx: Tx, scan: Scan) -> float:
    """One call."""
    began_s = time.perf_counter()
    await scan(tx)
    return (time.perf_counter() - began_s) * 1e3


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
