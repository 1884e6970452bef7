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
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import aiosqlite

from core.store.bulletin import Bulletin
from core.store.migrate import HISTORY, Migration, as_statements, check_history
from core.store.port import P, R, Row, TxFunction
from core.store.pump import Declined, Done, Outcome, Pending, Pump
from core.values.errors import DatabaseUnavailable, Refused

READERS = 2

_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an acknowledged commit survives power loss
    "PRAGMA foreign_keys = ON",
)
_READER_PRAGMAS = ("PRAGMA query_only = ON",)


class SqliteTx:
    """A transaction on the writer's or a reader's thread; its methods never suspend."""

    __slots__ = ("_connection", "topics")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.topics: list[str] = []

    async def run(self, sql: str, **params: object) -> int:
        """Execute an INSERT, UPDATE or DELETE; return how many rows it changed."""
        changed = self._connection.execute(sql, params).rowcount
        assert changed >= 0, "sqlite3 counts no rows for a statement that begins otherwise"
        return changed

    async def one(self, sql: str, **params: object) -> Row | None:
        """The first row of a query or of what RETURNING gives, or None."""
        return cast("Row | None", self._connection.execute(sql, params).fetchone())

    async def all(self, sql: str, **params: object) -> list[Row]:
        """All rows."""
        return cast("list[Row]", self._connection.execute(sql, params).fetchall())

    def announce(self, topic: str) -> None:
        """Wake whoever waits for `topic`, after and only if this transaction commits."""
        self.topics.append(topic)


class SqliteStore:
    """One database file, owned by this process."""

    def __init__(
        self,
        bulletin: Bulletin,
        *,
        writer: aiosqlite.Connection,
        readers: Sequence[aiosqlite.Connection],
        connections: AsyncExitStack,
    ) -> None:
        self.bulletin = bulletin
        self._writer = writer
        self._readers: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        for reader in readers:
            self._readers.put_nowait(reader)
        self._connections = connections
        self._pump = Pump(self._run_batch, bulletin)

    @classmethod
    async def open(
        cls,
        path: Path,
        migrations: Sequence[Migration],
        bulletin: Bulletin,
        now_ms: int,
        *,
        busy_timeout_s: float = 5.0,
    ) -> "SqliteStore":
        """Open or create the file and bring its schema up to date.

        Raises `core.store.migrate.SchemaRefused` for a newer or altered schema, and
        DatabaseUnavailable, as every write does, when somebody else locks the file for longer
        than `busy_timeout_s`.
        """
        async with AsyncExitStack() as connections:
            with _blame_on_database():
                writer = await _connect(connections, path, busy_timeout_s, _WRITER_PRAGMAS)
                await _in_thread(writer, _migrate, migrations, now_ms)
                readers = [
                    await _connect(connections, path, busy_timeout_s, _READER_PRAGMAS)
                    for _ in range(READERS)
                ]
            return cls(bulletin, writer=writer, readers=readers, connections=connections.pop_all())

    async def write(self, fn: TxFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` as one durable transaction; see `core.store.port.Store`."""
        return cast("R", await self._pump.submit(fn, args, kwargs))

    async def read(self, fn: TxFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on a snapshot; see `core.store.port.Store`."""
        self._pump.check_open()
        reader = await self._readers.get()
        # Shielded: a caller that leaves must not hand a busy connection to the next one.
        work = asyncio.ensure_future(_in_thread(reader, _read, fn, args, kwargs))
        work.add_done_callback(lambda _: self._readers.put_nowait(reader))
        return cast("R", await asyncio.shield(work))

    async def is_alone(self) -> bool:
        """The file belongs to one process."""
        return True

    async def aclose(self) -> None:
        """Finish what has begun, then close all connections."""
        await self._pump.aclose()
        readers = [await self._readers.get() for _ in range(READERS)]
        await self._connections.aclose()
        for reader in readers:
            self._readers.put_nowait(reader)

    async def _run_batch(self, batch: Sequence[Pending]) -> list[Outcome]:
        return cast("list[Outcome]", await _in_thread(self._writer, _write_batch, batch))


async def _connect(
    connections: AsyncExitStack, path: Path, busy_timeout_s: float, pragmas: Sequence[str]
) -> aiosqlite.Connection:
    connection = await connections.enter_async_context(
        aiosqlite.connect(path, isolation_level=None, timeout=busy_timeout_s, cached_statements=512)
    )
    connection.row_factory = sqlite3.Row
    for pragma in pragmas:
        await connection.execute(pragma)
    return connection


async def _in_thread(connection: aiosqlite.Connection, fn: Any, *args: Any) -> Any:
    execute: Any = connection._execute  # noqa: SLF001
    return await execute(fn, connection._conn, *args)  # noqa: SLF001


def _write_batch(connection: sqlite3.Connection, batch: Sequence[Pending]) -> list[Outcome]:
    try:
        with _blame_on_database():
            connection.execute("BEGIN IMMEDIATE")
        outcomes = _run_members(connection, batch)
        with _blame_on_database():
            connection.execute("COMMIT")
    finally:
        if connection.in_transaction:  # something was raised; SQLITE_FULL has rolled back already
            connection.execute("ROLLBACK")
    return outcomes


def _run_members(connection: sqlite3.Connection, batch: Sequence[Pending]) -> list[Outcome]:
    if len(batch) > 1:  # whose fault a fault was shows when each runs alone
        return [_run_member(connection, pending) for pending in batch]
    with _blame_on_database():
        return [_run_member(connection, batch[0])]


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


def _read(
    connection: sqlite3.Connection, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        with _blame_on_database():
            connection.execute("BEGIN")
            return _step(fn(SqliteTx(connection), *args, **kwargs))
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


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


def _step(work: Awaitable[Any]) -> Any:
    """Run a transaction function to its end without a loop."""
    stepper = work.__await__()
    try:
        next(stepper)
    except StopIteration as stop:
        return stop.value
    stepper.close()  # now, while what its `finally` writes is still rolled back
    raise AssertionError("a transaction function awaits something that is not its tx")


@contextmanager
def _blame_on_database() -> Iterator[None]:
    """Say DatabaseUnavailable where not the statement but the database is at fault."""
    try:
        yield
    except sqlite3.OperationalError as fault:
        if getattr(fault, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            raise  # SQL that is wrong is our own mistake
        raise DatabaseUnavailable(f"SQLite: {fault}") from fault
