"""What another process may do with a SQLite database that a server is using: read and copy it.

In WAL mode readers of other processes neither wait for the writer nor hold it up, so neither needs
the lock of the data folder. Nothing here changes the database.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from core.store.migrate import Migration, check_history
from core.values.errors import DatabaseUnavailable

BUSY_TIMEOUT_S = 5.0


def copy_database(source: Path, target: Path) -> int:
    """Copy the database as it is at one moment into one new file; return its size in bytes.

    The copy holds everything that was acknowledged before the call, is readable by its owner only
    and appears complete or not at all. Raises DatabaseUnavailable, FileExistsError, OSError.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with _open(source) as original, closing(sqlite3.connect(draft)) as copy:
            original.backup(copy)  # all pages in one step: one snapshot, whoever writes meanwhile
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a WAL beside it
            _check_integrity(copy)
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        os.link(draft, target)  # unlike a rename, this fails where the target exists
        return target.stat().st_size
    except sqlite3.Error as fault:
        raise DatabaseUnavailable(f"SQLite: {fault}") from fault
    finally:
        draft.unlink()


def pending_migrations(source: Path, migrations: list[Migration]) -> list[Migration]:
    """The migrations that the next start would run, after a look at the file's integrity.

    Raises DatabaseUnavailable, or SchemaRefused where that start would refuse.
    """
    try:
        with _open(source) as original:
            _check_integrity(original)
            rows = original.execute("SELECT number, name, sha256 FROM schema_history").fetchall()
    except sqlite3.Error as fault:
        raise DatabaseUnavailable(f"SQLite: {fault}") from fault
    return check_history(migrations, rows)


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    # mode=rw makes no new file, yet may make the WAL's index where a server has died.
    address = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
        yield connection


def _check_integrity(connection: sqlite3.Connection) -> None:
    (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise DatabaseUnavailable(f"SQLite finds the file damaged: {answer}")
