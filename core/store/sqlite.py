"""The SQLite driver: one writer, group commit, readers on their own connections.

aiosqlite owns the threads. A whole batch runs in one hop to the writer's thread, between one
BEGIN IMMEDIATE and one COMMIT; the coroutine of a transaction function is stepped to its end
there, which is why it may await nothing but its `tx`. Running a function in that thread uses a
private call of aiosqlite 0.22 (`_execute`, `_conn`); the dependency is pinned to that line, and
the conformance suite would notice a change. One statement for each await instead was measured 22
times slower at 64 callers.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import aiosqlite

from core.store.bulletin import Bulletin
from core.store.migrate import HISTORY, Migration, as_statements, check_history
from core.store.port import P, R, Row, TxFunction
from core.store.pump import Declined, Done, Outcome, Pending, Pump
from core.values.errors import DatabaseUnavailable, Refused

READERS = 2
BUSY_TIMEOUT_S = 5.0

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an acknowledged commit survives power loss
    "PRAGMA foreign_keys = ON",
)


class SqliteTx:
    """A transaction on the writer's or a reader's thread; its methods never suspend."""

    __slots__ = ("_connection", "topics")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.topics: list[str] = []

    async def run(self, sql: str, **params: object) -> int:
        """Execute a statement; return how many rows it changed."""
        return self._connection.execute(sql, params).rowcount

    async def one(self, sql: str, **params: object) -> Row | None:
        """The first row, or None."""
        return cast("Row | None", self._connection.execute(sql, params).fetchone())

    async def all(self, sql: str, **params: object) -> list[Row]:
        """All rows."""
        return cast("list[Row]", self._connection.execute(sql, params).fetchall())

    def announce(self, topic: str) -> None:
        """Wake whoever waits for `topic`, after and only if this transaction commits."""
        self.topics.append(topic)


class SqliteStore:
    """One database file, owned by this process."""

    def __init__(self, path: Path, bulletin: Bulletin) -> None:
        self._path = path
        self.bulletin = bulletin
        self._readers: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        self._all_readers: list[aiosqlite.Connection] = []

    @classmethod
    async def open(
        cls, path: Path, migrations: Sequence[Migration], bulletin: Bulletin, now_ms: int
    ) -> "SqliteStore":
        """Open or create the file and bring its schema up to date.

        Raises `core.store.migrate.SchemaRefused` for a newer or altered schema.
        """
        store = cls(path, bulletin)
        store._writer = await _connect(path)
        try:
            await _in_thread(store._writer, _migrate, migrations, now_ms)
            for _ in range(READERS):
                reader = await _connect(path)
                store._all_readers.append(reader)
                await reader.execute("PRAGMA query_only = ON")
                store._readers.put_nowait(reader)
        except BaseException:
            await store._close_connections()
            raise
        store._pump = Pump(store._run_batch, bulletin)
        return store

    _writer: aiosqlite.Connection
    _pump: Pump

    async def write(self, fn: TxFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` as one durable transaction; see `core.store.port.Store`."""
        return cast("R", await self._pump.submit(fn, args, kwargs))

    async def read(self, fn: TxFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on a snapshot of one of the readers."""
        reader = await self._readers.get()
        # Shielded: a caller that leaves must not hand a busy connection to the next one.
        work = asyncio.ensure_future(_in_thread(reader, _read, fn, args, kwargs))
        work.add_done_callback(lambda _: self._readers.put_nowait(reader))
        return cast("R", await asyncio.shield(work))

    async def backup(self, target: Path) -> None:
        """Copy the whole database into one file, live, by SQLite's own backup interface."""
        async with aiosqlite.connect(target) as copy:
            reader = await self._readers.get()
            try:
                await reader.backup(copy)
            finally:
                self._readers.put_nowait(reader)

    async def aclose(self) -> None:
        """Run what is queued, then close all connections."""
        await self._pump.aclose()
        await self._close_connections()

    async def _close_connections(self) -> None:
        for connection in [*self._all_readers, self._writer]:
            await connection.close()

    async def _run_batch(self, batch: Sequence[Pending]) -> list[Outcome]:
        return cast("list[Outcome]", await _in_thread(self._writer, _write_batch, batch))


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(
        path, isolation_level=None, timeout=BUSY_TIMEOUT_S, cached_statements=512
    )
    connection.row_factory = sqlite3.Row
    for pragma in _PRAGMAS:
        await connection.execute(pragma)
    return connection


async def _in_thread(connection: aiosqlite.Connection, fn: Any, *args: Any) -> Any:
    execute = cast("Callable[..., Awaitable[Any]]", connection._execute)  # noqa: SLF001
    return await execute(fn, connection._conn, *args)  # noqa: SLF001


def _write_batch(connection: sqlite3.Connection, batch: Sequence[Pending]) -> list[Outcome]:
    _control(connection, "BEGIN IMMEDIATE")
    try:
        outcomes = [_run_member(connection, pending) for pending in batch]
        _control(connection, "COMMIT")
    except sqlite3.OperationalError as fault:
        if len(batch) > 1:  # whose fault it was shows when each runs alone
            raise
        raise DatabaseUnavailable(f"SQLite: {fault}") from fault
    finally:
        if connection.in_transaction:  # something was raised; SQLITE_FULL has rolled back already
            connection.execute("ROLLBACK")
    return outcomes


def _control(connection: sqlite3.Connection, statement: str) -> None:
    """BEGIN or COMMIT; whatever fails here fails for all members alike."""
    try:
        connection.execute(statement)
    except sqlite3.Error as fault:
        raise DatabaseUnavailable(f"SQLite: {fault}") from fault


def _run_member(connection: sqlite3.Connection, pending: Pending) -> Outcome:
    before = connection.total_changes
    tx = SqliteTx(connection)
    try:
        value = _step(pending.start(tx))
    except Refused as refusal:
        if connection.total_changes != before:  # its writes must go, and the batch with them
            raise
        return Declined(refusal)
    return Done(value, tx.topics)


def _migrate(connection: sqlite3.Connection, migrations: Sequence[Migration], now_ms: int) -> None:
    connection.execute(HISTORY)
    rows = connection.execute("SELECT number, name, sha256 FROM schema_history").fetchall()
    for migration in check_history(migrations, [tuple(row) for row in rows]):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in as_statements(migration.sql):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO schema_history VALUES (?, ?, ?, ?)",
                (migration.number, migration.name, migration.sha256, now_ms),
            )
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _read(
    connection: sqlite3.Connection, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        connection.execute("BEGIN")
        return _step(fn(SqliteTx(connection), *args, **kwargs))
    except sqlite3.OperationalError as fault:
        raise DatabaseUnavailable(f"SQLite: {fault}") from fault
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _step(work: Awaitable[Any]) -> Any:
    """Run a transaction function to its end without a loop."""
    stepper = work.__await__()
    try:
        next(stepper)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a transaction function awaits something that is not its tx")
