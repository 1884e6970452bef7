"""Migrations: numbered SQL files, forward only, one transaction each, each with its hash.

A file that has run is never changed; a database that is newer than the program, or that remembers
another text under a number, stops the start. The files are written for SQLite; for PostgreSQL
`INTEGER` becomes `BIGINT`, `BLOB` becomes `BYTEA`, and `STRICT` goes.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

HISTORY = """
CREATE TABLE IF NOT EXISTS schema_history (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  at_ms INTEGER NOT NULL
)
"""


class SchemaRefused(Exception):
    """The database's schema does not fit this program; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """The hash that the database remembers."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load() -> list[Migration]:
    """The migrations that this program brings, in their order."""
    folder = files("core.store") / "migrations"
    found = [
        Migration(int(file.name[:4]), file.name, file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(found, key=lambda migration: migration.number)


def check_history(
    migrations: Sequence[Migration], applied: Sequence[tuple[int, str, str]]
) -> list[Migration]:
    """The migrations still to run, given (number, name, sha256) of those that have run.

    Raises SchemaRefused.
    """
    known = {migration.number: migration for migration in migrations}
    for number, name, sha256 in applied:
        migration = known.get(number)
        if migration is None:
            raise SchemaRefused(
                f"The database was last used by a newer Boltwork (migration {name} is unknown "
                "here). Start that version again, or restore a backup of before the upgrade."
            )
        if migration.sha256 != sha256:
            raise SchemaRefused(
                f"Migration {name} is not the text that built this database. Install an "
                "unaltered Boltwork; migrations that have run are never edited."
            )
    done = {number for number, _, _ in applied}
    return [migration for migration in migrations if migration.number not in done]


def as_statements(sql: str) -> list[str]:
    """The single statements of a file; a statement ends with a semicolon at a line's end."""
    text = re.sub(r"^\s*--.*$", "", sql, flags=re.MULTILINE)
    return [part.strip() for part in re.split(r";\s*$", text, flags=re.MULTILINE) if part.strip()]


def for_postgres(statement: str) -> str:
    """The same statement in PostgreSQL's words."""
    statement = re.sub(r"\bINTEGER\b", "BIGINT", statement)
    statement = re.sub(r"\bBLOB\b", "BYTEA", statement)
    return re.sub(r"\)\s*STRICT$", ")", statement)
