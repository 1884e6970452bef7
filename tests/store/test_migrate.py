"""Migrations: forward only, whole or not at all, and never another text under an old number."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from core.store.migrate import (
    Migration,
    SchemaRefused,
    as_statements,
    check_history,
    for_postgres,
    load,
)
from core.store.port import Row, Tx
from tests.conftest import Database

FIRST = Migration(1, "0001_first.sql", "CREATE TABLE first (n INTEGER NOT NULL) STRICT;")
SECOND = Migration(
    2,
    "0002_second.sql",
    "-- a row; and a table\nINSERT INTO first VALUES (1);\nCREATE TABLE second (b BLOB) STRICT;\n",
)
BROKEN = Migration(
    2, "0002_second.sql", "CREATE TABLE half (n INTEGER);\nINSERT INTO no VALUES (1);"
)


async def history(tx: Tx) -> list[dict[str, object]]:
    rows = await tx.all("SELECT number, name FROM schema_history ORDER BY number")
    return [dict(row) for row in rows]


async def count_first(tx: Tx) -> int:
    return len(await tx.all("SELECT n FROM first"))


async def test_each_migration_runs_once_and_is_remembered(empty_database: Database):
    for migrations in ([FIRST], [FIRST, SECOND], [FIRST, SECOND]):
        store = await empty_database.open(migrations)
        await store.aclose()

    store = await empty_database.open([FIRST, SECOND])

    assert await store.read(history) == [
        {"number": 1, "name": "0001_first.sql"},
        {"number": 2, "name": "0002_second.sql"},
    ]
    assert await store.read(count_first) == 1
    await store.aclose()


async def test_a_database_that_is_newer_than_the_program_is_refused(empty_database: Database):
    store = await empty_database.open([FIRST, SECOND])
    await store.aclose()

    with pytest.raises(SchemaRefused, match=r"newer Boltwork \(migration 0002_second\.sql"):
        await empty_database.open([FIRST])


async def test_a_migration_whose_text_has_changed_is_refused(empty_database: Database):
    store = await empty_database.open([FIRST])
    await store.aclose()
    altered = Migration(1, FIRST.name, FIRST.sql + "\n-- only a comment\n")

    with pytest.raises(SchemaRefused, match=r"0001_first\.sql is not the text"):
        await empty_database.open([altered, SECOND])

    store = await empty_database.open([FIRST])
    assert len(await store.read(history)) == 1
    await store.aclose()


async def test_a_migration_that_breaks_leaves_nothing_and_runs_when_it_is_mended(
    empty_database: Database,
):
    with pytest.raises(Exception, match="no"):
        await empty_database.open([FIRST, BROKEN])

    store = await empty_database.open([FIRST])
    assert await store.read(history) == [{"number": 1, "name": "0001_first.sql"}]
    await store.aclose()
    mended = Migration(2, BROKEN.name, "CREATE TABLE half (n INTEGER);")
    store = await empty_database.open([FIRST, mended])
    assert len(await store.read(history)) == 2
    await store.aclose()


async def test_a_start_that_is_refused_leaves_no_connection(postgres_database: Database):
    store = await postgres_database.open([FIRST, SECOND])
    await store.aclose()
    watcher = await asyncpg.connect(postgres_database.url)

    with pytest.raises(SchemaRefused):
        await postgres_database.open([FIRST])

    others = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()"
    async with asyncio.timeout(5):
        while await watcher.fetchval(others) > 1:
            pass  # the server notices a moment later that a connection was closed
    await watcher.close()


async def test_processes_that_start_together_migrate_once(postgres_database: Database):
    stores = await asyncio.gather(*(postgres_database.open([FIRST, SECOND]) for _ in range(5)))

    assert await stores[0].read(count_first) == 1
    for store in stores:
        await store.aclose()


async def test_both_databases_get_the_same_tables_from_the_programs_migrations(
    sqlite_database: Database, postgres_database: Database
):
    lite, post = await sqlite_database.open(), await postgres_database.open()

    assert await lite.read(sqlite_columns) == await post.read(postgres_columns)

    await lite.aclose()
    await post.aclose()


def test_the_programs_migrations_are_numbered_without_a_gap():
    assert [migration.number for migration in load()] == list(range(1, len(load()) + 1))


def test_history_is_compared_whatever_the_order_of_its_rows():
    applied = [(2, SECOND.name, SECOND.sha256), (1, FIRST.name, FIRST.sha256)]

    assert check_history([FIRST, SECOND], applied) == []
    assert check_history([FIRST, SECOND], applied[1:]) == [SECOND]


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("SELECT 1;\nSELECT 2;\n", ["SELECT 1", "SELECT 2"]),
        ("-- one; two;\nSELECT 1;\n\n  -- three;\n", ["SELECT 1"]),
        ("SELECT 'a; b';\nSELECT\n  2;   \n", ["SELECT 'a; b'", "SELECT\n  2"]),
        ("SELECT 1;\r\nSELECT 2;\r\n", ["SELECT 1", "SELECT 2"]),
        ("\n\n", []),
    ],
)
def test_a_file_is_split_where_a_semicolon_ends_a_line(sql: str, statements: list[str]):
    assert as_statements(sql) == statements


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("CREATE TABLE t (n INTEGER, b BLOB) STRICT", "CREATE TABLE t (n BIGINT, b BYTEA)"),
        ("CREATE TABLE t (n INTEGER)\nSTRICT", "CREATE TABLE t (n BIGINT)"),
        ("CREATE INDEX i ON t (INTEGERS)", "CREATE INDEX i ON t (INTEGERS)"),
    ],
)
def test_a_statement_is_put_into_postgresqls_words(statement: str, expected: str):
    assert for_postgres(statement) == expected


async def sqlite_columns(tx: Tx) -> set[tuple[object, ...]]:
    rows = await tx.all(
        "SELECT m.name AS held_by, c.name, c.type, c.[notnull] OR c.pk > 0 AS is_needed"
        " FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
    )
    types = {"INTEGER": "bigint", "TEXT": "text", "BLOB": "bytea"}
    return columns(rows, types)


async def postgres_columns(tx: Tx) -> set[tuple[object, ...]]:
    rows = await tx.all(
        "SELECT table_name AS held_by, column_name AS name, data_type AS type,"
        " is_nullable = 'NO' AS is_needed FROM information_schema.columns"
        " WHERE table_schema = 'public'"
    )
    return columns(rows, {})


def columns(rows: Sequence[Row], types: dict[str, str]) -> set[tuple[object, ...]]:
    return {
        (row["held_by"], row["name"], types.get(row["type"], row["type"]), bool(row["is_needed"]))
        for row in rows
    }
