"""The PostgreSQL driver: the same pump, one writer at a time, a pool for reads.

A batch is one transaction that first takes the turn: a lock for which all processes on this
database queue. So transactions are serial, as they are on SQLite, and nothing is ever retried.
Optimistic SERIALIZABLE batches were tried: two busy processes deadlocked on one another's rows and
fell from 2,100 debits a second to 90 (1,000 accounts, 64 callers each).

Round trips are what a batch costs, so the plain INSERTs of a batch travel together: that doubled
the debits of 64 callers. Commits announce their topics by NOTIFY, so that waiters in every process
wake.
"""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import Any, cast

import asyncpg
import structlog

from core.store.bulletin import Bulletin
from core.store.dialect import Statement, translate
from core.store.migrate import HISTORY, Migration, as_statements, check_history, for_postgres
from core.store.port import P, R, Row, Tx, TxFunction
from core.store.pump import Declined, Done, Outcome, Pending, Pump
from core.values.errors import DatabaseUnavailable, Refused

READERS = 8
CHANNEL = "boltwork"
CONNECT_TIMEOUT_S = 10
COMMAND_TIMEOUT_S = 30
LISTEN_AGAIN_S = 0.5
NOTIFY_CHARS_MAX = 7_000  # PostgreSQL refuses payloads of 8,000 bytes

# READ COMMITTED: a statement sees what others committed while this process queued for its turn.
_TAKE_TURN = "SELECT pg_advisory_xact_lock(1651469428)"  # "bolt"
_BEGIN = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_TAKE_TURN}"
_NAME = "boltwork"
_IDLE_MS = "10000"  # a process that froze in a transaction loses its turn

_GONE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)

log = structlog.get_logger(__name__)


class Later:
    """The plain INSERTs of a batch that are yet to be sent: many rows in one round trip.

    They wait until a statement names their table, or for the end of the batch. What they return is
    known before, and when one fails the batch runs again, each member alone and nothing later.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._rows: dict[str, list[list[object]]] = {}
        self._tables: set[str] = set()

    def add(self, statement: Statement, table: str, values: list[object]) -> None:
        """Keep a row for later."""
        self._rows.setdefault(statement.text, []).append(values)
        self._tables.add(table)

    async def send_before(self, statement: Statement) -> None:
        """Send what `statement` could see."""
        if not self._tables.isdisjoint(statement.words):
            await self.send()

    async def send(self) -> None:
        """Send everything."""
        for text, rows in self._rows.items():
            await self._connection.executemany(text, rows)
        self._rows.clear()
        self._tables.clear()


class PostgresTx:
    """A transaction on one connection; without `later`, each statement is sent at once."""

    __slots__ = ("_connection", "_later", "has_written", "topics")

    def __init__(self, connection: Any, later: Later | None = None) -> None:
        self._connection = connection
        self._later = later
        self.topics: list[str] = []
        self.has_written = False

    async def run(self, sql: str, **params: object) -> int:
        """Execute an INSERT, UPDATE or DELETE; return how many rows it changed."""
        statement = translate(sql)
        values = statement.order(params)
        if self._later is not None:
            if statement.inserts_into is not None:
                self._later.add(statement, statement.inserts_into, values)
                self.has_written = True
                return 1
            await self._later.send_before(statement)
        status: str = await self._connection.execute(statement.text, *values)
        changed = int(status.rsplit(" ", 1)[-1])
        self.has_written = self.has_written or changed > 0
        return changed

    async def one(self, sql: str, **params: object) -> Row | None:
        """The first row of a query or of what RETURNING gives, or None."""
        rows = await self.all(sql, **params)
        return rows[0] if rows else None

    async def all(self, sql: str, **params: object) -> list[Row]:
        """All rows."""
        statement = translate(sql)
        if self._later is not None:
            await self._later.send_before(statement)
        rows = await self._connection.fetch(statement.text, *statement.order(params))
        self.has_written = self.has_written or (bool(rows) and not statement.is_query)
        return cast("list[Row]", rows)

    def announce(self, topic: str) -> None:
        """Wake whoever waits for `topic`, after and only if this transaction commits."""
        self.topics.append(topic)


class PostgresStore:
    """One database, shared with other processes."""

    def __init__(
        self,
        bulletin: Bulletin,
        *,
        name: str,
        writer: Any,
        readers: Any,
        connections: AsyncExitStack,
    ) -> None:
        self.bulletin = bulletin
        self._name = name
        self._writer = writer
        self._readers = readers
        self._connections = connections
        self._pump = Pump(self._run_batch, bulletin)

    @classmethod
    async def open(
        cls, dsn: str, migrations: Sequence[Migration], bulletin: Bulletin, now_ms: int
    ) -> "PostgresStore":
        """Connect and bring the schema up to date.

        Raises `core.store.migrate.SchemaRefused` for a newer or altered schema, or
        DatabaseUnavailable.
        """
        name = f"{_NAME} {secrets.token_hex(4)}"
        async with AsyncExitStack() as connections:
            with _blame_on_database():
                await _migrate(dsn, migrations, now_ms)
                writer = await connections.enter_async_context(_pool(dsn, name, size=1))
                readers = await connections.enter_async_context(_pool(dsn, name, size=READERS))
                ear = Ear(dsn, name, bulletin)
                connections.push_async_callback(ear.aclose)
                await ear.listen()
            return cls(
                bulletin,
                name=name,
                writer=writer,
                readers=readers,
                connections=connections.pop_all(),
            )

    async def write(self, fn: TxFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` as one durable transaction; see `core.store.port.Store`."""
        return cast("R", await self._pump.submit(fn, args, kwargs))

    async def read(self, fn: TxFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on a snapshot; see `core.store.port.Store`."""
        self._pump.check_open()
        with _blame_on_database():
            async with (
                self._readers.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await fn(PostgresTx(connection), *args, **kwargs)

    async def is_alone(self) -> bool:
        """Whether no other store has a connection; those of a killed process end with it."""
        return await self.read(_is_alone, self._name)

    async def aclose(self) -> None:
        """Finish what has begun, then close all connections."""
        await self._pump.aclose()
        await self._connections.aclose()

    async def _run_batch(self, batch: Sequence[Pending]) -> list[Outcome]:
        with _blame_on_database():
            async with self._writer.acquire() as connection:
                return await _write_batch(connection, batch)


class Ear:
    """Hears what all processes announce; a connection that is lost is made again."""

    def __init__(self, dsn: str, name: str, bulletin: Bulletin) -> None:
        self._dsn = dsn
        self._name = name
        self._bulletin = bulletin
        self._connection: Any = None
        self._again: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Connect and listen from now on."""
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={"application_name": self._name},
        )
        with ExitStack() as undo:
            undo.callback(connection.terminate)
            await connection.add_listener(CHANNEL, self._on_payload)
            undo.pop_all()
        connection.add_termination_listener(self._on_loss)
        self._connection = connection

    async def aclose(self) -> None:
        """Stop listening."""
        if self._again is not None:
            self._again.cancel()
            await asyncio.wait([self._again])
        if self._connection is not None:
            self._connection.remove_termination_listener(self._on_loss)
            await self._connection.close()

    def _on_payload(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        self._bulletin.post(payload.split(" "))

    def _on_loss(self, _connection: Any) -> None:
        log.warning("database connection lost", purpose="announcements")
        self._again = asyncio.create_task(self._listen_again(), name="listen again")

    async def _listen_again(self) -> None:
        while True:
            try:
                await self.listen()
                break
            except (*_GONE, asyncpg.PostgresError):  # until the operator has put it right
                await asyncio.sleep(LISTEN_AGAIN_S)
        self._bulletin.wake_all()  # what was announced meanwhile was not heard


def _pool(dsn: str, name: str, *, size: int) -> Any:
    return asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        statement_cache_size=512,
        max_cached_statement_lifetime=0,
        server_settings={
            "application_name": name,
            "idle_in_transaction_session_timeout": _IDLE_MS,
        },
        reset=_leave_as_it_is,
    )


async def _is_alone(tx: Tx, name: str) -> bool:
    row = await tx.one(
        "SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE :names AND application_name <> :name LIMIT 1",
        names=f"{_NAME}%",
        name=name,
    )
    return row is None


async def _leave_as_it_is(_connection: Any) -> None:
    """Transactions leave no settings behind, so nothing is reset, which saves a round trip."""


async def _write_batch(connection: Any, batch: Sequence[Pending]) -> list[Outcome]:
    assert not connection.is_in_transaction(), "the pool rolls back what was cut off"
    try:
        await connection.execute(_BEGIN)
        outcomes = await _run_members(connection, batch)
        status = await connection.execute(f"{_notices(outcomes)}COMMIT")
    finally:
        if not connection.is_closed() and connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    # PostgreSQL answers COMMIT with ROLLBACK when a statement failed and nobody said so.
    assert status == "COMMIT", "a transaction function swallowed an error of the database"
    return outcomes


async def _run_members(connection: Any, batch: Sequence[Pending]) -> list[Outcome]:
    if len(batch) == 1:  # perhaps because its batch failed: now exactly as it is written
        return [await _run_member(PostgresTx(connection), batch[0])]
    later = Later(connection)
    outcomes = [await _run_member(PostgresTx(connection, later), pending) for pending in batch]
    await later.send()
    return outcomes


async def _run_member(tx: PostgresTx, pending: Pending) -> Outcome:
    try:
        value = await pending.start(tx)
    except Refused as refusal:
        if tx.has_written:  # its writes must go, and the batch with them
            raise
        return Declined(refusal)
    return Done(value, tx.topics)


def _notices(outcomes: Sequence[Outcome]) -> str:
    """The statements that announce the batch's topics, in as few payloads as the limit allows."""
    topics = {topic for done in outcomes if isinstance(done, Done) for topic in done.topics}
    payloads: list[str] = []
    for topic in sorted(topics):
        if payloads and len(payloads[-1]) + len(topic) < NOTIFY_CHARS_MAX:
            payloads[-1] += f" {topic}"
        else:
            payloads.append(topic)
    return "".join(f"NOTIFY {CHANNEL}, {_quote(payload)}; " for payload in payloads)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def _migrate(dsn: str, migrations: Sequence[Migration], now_ms: int) -> None:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)  # each takes its time
    try:
        async with connection.transaction():
            await connection.execute(_TAKE_TURN)
            await connection.execute(for_postgres(HISTORY))
        for migration in migrations:
            async with connection.transaction():
                await connection.execute(_TAKE_TURN)
                await _apply(connection, migrations, migration, now_ms)
    finally:
        await connection.close()


async def _apply(
    connection: Any, migrations: Sequence[Migration], migration: Migration, now_ms: int
) -> None:
    rows = await connection.fetch("SELECT number, name, sha256 FROM schema_history")
    if migration not in check_history(migrations, [tuple(row) for row in rows]):
        return
    for statement in as_statements(migration.sql):
        await connection.execute(for_postgres(statement))
    await connection.execute(
        "INSERT INTO schema_history VALUES ($1, $2, $3, $4)",
        migration.number,
        migration.name,
        migration.sha256,
        now_ms,
    )


@contextmanager
def _blame_on_database() -> Iterator[None]:
    """Say DatabaseUnavailable where not the statement but the database is at fault."""
    try:
        yield
    except _GONE as fault:
        if isinstance(fault, ValueError):
            raise  # the DSN cannot be read: the operator's mistake
        line = f"{type(fault).__name__}: {fault}".splitlines()[0]
        raise DatabaseUnavailable(f"PostgreSQL: {line}") from fault
