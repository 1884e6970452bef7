"""A copy of a database that is in use is complete, and looking at one changes nothing."""

import sqlite3
from contextlib import closing

import pytest

from core.books import settings
from core.store.migrate import Migration, SchemaRefused, load
from core.store.sqlite_file import copy_database, pending_migrations
from core.values.errors import DatabaseUnavailable


def value_in(file, name):
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT value FROM settings WHERE name = ?"
        return connection.execute(query, (name,)).fetchone()


async def test_a_copy_holds_what_was_acknowledged_before_and_nothing_later(
    sqlite_database, tmp_path
):
    store = await sqlite_database.open()
    await store.write(settings.put, "before", "yes")

    size = copy_database(tmp_path / "boltwork.db", tmp_path / "copy.db")
    await store.write(settings.put, "after", "yes")
    await store.aclose()

    assert value_in(tmp_path / "copy.db", "before") == ("yes",)
    assert value_in(tmp_path / "copy.db", "after") is None
    assert size == (tmp_path / "copy.db").stat().st_size


async def test_a_copy_is_one_file_for_its_owner_alone(sqlite_database, tmp_path):
    await (await sqlite_database.open()).aclose()

    copy_database(tmp_path / "boltwork.db", tmp_path / "copy.db")

    names = sorted(file.name for file in tmp_path.iterdir() if "copy" in file.name)
    assert names == ["copy.db"]
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600


async def test_a_file_that_exists_is_not_overwritten(sqlite_database, tmp_path):
    await (await sqlite_database.open()).aclose()
    (tmp_path / "copy.db").write_text("precious")

    with pytest.raises(FileExistsError):
        copy_database(tmp_path / "boltwork.db", tmp_path / "copy.db")

    assert (tmp_path / "copy.db").read_text() == "precious"


def test_something_that_is_no_database_is_not_copied(tmp_path):
    (tmp_path / "boltwork.db").write_text("no database at all" * 100)

    with pytest.raises(DatabaseUnavailable):
        copy_database(tmp_path / "boltwork.db", tmp_path / "copy.db")

    assert not (tmp_path / "copy.db").exists()


async def test_a_database_of_this_version_has_nothing_pending(sqlite_database, tmp_path):
    await (await sqlite_database.open()).aclose()
    news = Migration(9999, "9999_news.sql", "CREATE TABLE news (id INTEGER) STRICT;")

    assert pending_migrations(tmp_path / "boltwork.db", load()) == []
    assert pending_migrations(tmp_path / "boltwork.db", [*load(), news]) == [news]


async def test_a_database_of_a_newer_version_is_refused(sqlite_database, tmp_path):
    await (await sqlite_database.open()).aclose()

    with pytest.raises(SchemaRefused, match="newer"):
        pending_migrations(tmp_path / "boltwork.db", [])
