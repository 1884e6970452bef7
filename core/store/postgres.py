"""The PostgreSQL driver: the same pump, one writing connection, a pool for reads.

A batch is one SERIALIZABLE transaction; a serialisation failure or a deadlock with another process
retries it whole. Commits announce their topics by NOTIFY, so that waiters in every process wake.
The SQL is the text that SQLite runs, with `:name` turned into `$n`.
"""

import asyncio
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import asyncpg
import structlog

from core.store.bulletin import Bulletin
from core.store.migrate import HISTORY, Migration, as_statements, check_history, for_postgres
from core.store.port import P, R, Row, TxFunction
from core.store.pump import Declined, Done, Outcome, Pending, Pump
from core.values.errors import DatabaseUnavailable, Refused

READERS = 8
RETRIES = 20
CHANNEL = "boltwork"
COMMAND_TIMEOUT_S = 30
_MIGRATION_LOCK = 0x626F6C74  # "bolt": one process migrates at a time
_NOTIFY_BYTES_MAX = 7_000  # PostgreSQL refuses payloads of 8,000 bytes

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_GONE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)

log = structlog.get_logger(__name__)


class PostgresTx:
    """A transaction on one connection."""

    __slots__ = ("_connection", "has_written", "topics")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.topics: list[str] = []
        self.has_written = False

    async def run(self, sql: str, **params: object) -> int:
        """Execute a statement; return how many rows it changed."""
        text, names = translate(sql)
        status: str = await self._connection.execute(text, *[params[name] for name in names])
        changed = int(status.rsplit(" ", 1)[-1])
        self.has_written = self.has_written or changed > 0
        return changed

    async def one(self, sql: str, **params: object) -> Row | None:
        """The first row, or None."""
        rows = await self.all(sql, **params)
        return rows[0] if rows else None

    async def all(self, sql: str, **params: object) -> list[Row]:
        """All rows."""
        text, names = translate(sql)
        rows = await self._connection.fetch(text, *[params[name] for name in names])
        self.has_written = self.has_written or not text.lstrip().startswith("SELECT")
        return cast("list[Row]", rows)

    def announce(self, topic: str) -> None:
        """Wake whoever waits for `topic`, after and only if this transaction commits."""
        self.topics.append(topic)


class PostgresStore:
    """One database, shared with other processes."""

    def __init__(self, dsn: str, bulletin: Bulletin) -> None:
        self._dsn = dsn
        self.bulletin = bulletin
        self._writer: Any = None
        self._listener: Any = None
        self._pool: Any = None

    @classmethod
    async def open(
        cls, dsn: str, migrations: Sequence[Migration], bulletin: Bulletin, now_ms: int
    ) -> "PostgresStore":
        """Connect and bring the schema up to date.

        Raises `core.store.migrate.SchemaRefused`, or DatabaseUnavailable.
        """
        store = cls(dsn, bulletin)
        try:
            store._writer = await store._connect()
            await _migrate(store._writer, migrations, now_ms)
            store._pool = await asyncpg.create_pool(
                dsn, min_size=1, max_size=READERS, command_timeout=COMMAND_TIMEOUT_S
            )
            await store._listen()
        except _GONE as fault:
            raise DatabaseUnavailable(f"PostgreSQL: {_line(fault)}") from fault
        store._pump = Pump(store._run_batch, bulletin)
        return store

    _pump: Pump

    async def write(self, fn: TxFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` as one durable transaction; see `core.store.port.Store`."""
        return cast("R", await self._pump.submit(fn, args, kwargs))

    async def read(self, fn: TxFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on a snapshot."""
        try:
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await fn(PostgresTx(connection), *args, **kwargs)
        except _GONE as fault:
            raise DatabaseUnavailable(f"PostgreSQL: {_line(fault)}") from fault

    async def aclose(self) -> None:
        """Run what is queued, then close all connections."""
        await self._pump.aclose()
        for connection in (self._listener, self._writer):
            if connection is not None and not connection.is_closed():
                await connection.close()
        await self._pool.close()

    async def _connect(self) -> Any:
        return await asyncpg.connect(self._dsn, command_timeout=COMMAND_TIMEOUT_S)

    async def _listen(self) -> None:
        self._listener = await self._connect()
        await self._listener.add_listener(CHANNEL, self._hear)

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        self.bulletin.post(payload.split(" "))

    async def _run_batch(self, batch: Sequence[Pending]) -> list[Outcome]:
        try:
            return await self._retry_batch(batch)
        except _GONE as fault:
            raise DatabaseUnavailable(f"PostgreSQL: {_line(fault)}") from fault

    async def _retry_batch(self, batch: Sequence[Pending]) -> list[Outcome]:
        for _ in range(RETRIES):
            if self._writer.is_closed():
                self._writer = await self._connect()
            if self._listener.is_closed():
                await self._listen()
            try:
                return await self._try_batch(batch)
            except _CONFLICTS:
                await asyncio.sleep(0)  # another process was first: the whole batch once more
        raise DatabaseUnavailable("PostgreSQL: no serialisable order after many tries")

    async def _try_batch(self, batch: Sequence[Pending]) -> list[Outcome]:
        async with self._writer.transaction(isolation="serializable"):
            outcomes = [await _run_member(self._writer, pending) for pending in batch]
            topics = {
                topic
                for outcome in outcomes
                if isinstance(outcome, Done)
                for topic in outcome.topics
            }
            for payload in _payloads(sorted(topics)):
                await self._writer.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
        return outcomes


@cache
def translate(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with `$n` for `:name`, and the names in their order.

    A conditional comment `/*pg ... */` is opened.
    """
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    text = _PARAMETER.sub(number, re.sub(r"/\*pg (.*?)\*/", r"\1", sql))
    return text, tuple(names)


async def _run_member(connection: Any, pending: Pending) -> Outcome:
    tx = PostgresTx(connection)
    try:
        value = await pending.start(tx)
    except Refused as refusal:
        if tx.has_written:  # its writes must go, and the batch with them
            raise
        return Declined(refusal)
    return Done(value, tx.topics)


async def _migrate(connection: Any, migrations: Sequence[Migration], now_ms: int) -> None:
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
        await connection.execute(for_postgres(HISTORY))
    for migration in migrations:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
            rows = await connection.fetch("SELECT number, name, sha256 FROM schema_history")
            if migration not in check_history(migrations, [tuple(row) for row in rows]):
                continue
            for statement in as_statements(migration.sql):
                await connection.execute(for_postgres(statement))
            await connection.execute(
                "INSERT INTO schema_history VALUES ($1, $2, $3, $4)",
                migration.number,
                migration.name,
                migration.sha256,
                now_ms,
            )


def _payloads(topics: Sequence[str]) -> list[str]:
    """Topics joined into as few notifications as PostgreSQL's limit allows."""
    payloads: list[str] = []
    for topic in topics:
        if payloads and len(payloads[-1]) + len(topic) < _NOTIFY_BYTES_MAX:
            payloads[-1] += " " + topic
        else:
            payloads.append(topic)
    return payloads


def _line(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {fault}".splitlines()[0]
