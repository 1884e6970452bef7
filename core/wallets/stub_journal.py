"""The stub wallet's journal: what the outside world of play money knows, in one SQLite file.

It is called in the event loop: each call is one short transaction on indexed rows, and a thread
would add a hop and a cancellation that does not cancel. What it costs is the wait for the disk to
take a write, which a wallet for development may cost. Other processes may use the same file.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.values.errors import WalletUnavailable
from core.values.money import Msat
from core.wallets.port import Movement

_FILE = "stub-wallet.db"

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
CREATE TABLE IF NOT EXISTS invoices (
  payment_hash TEXT PRIMARY KEY,
  owner        TEXT NOT NULL CHECK (owner IN ('us', 'somebody else')),
  bolt11       TEXT NOT NULL,
  preimage     TEXT NOT NULL,
  amount_msat  INTEGER NOT NULL CHECK (amount_msat > 0),
  extra        TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS settlements (
  number        INTEGER PRIMARY KEY AUTOINCREMENT,
  payment_hash  TEXT NOT NULL UNIQUE REFERENCES invoices,
  settled_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS payouts (
  payment_hash TEXT PRIMARY KEY,
  amount_msat  INTEGER NOT NULL CHECK (amount_msat >= 0),
  fee_msat     INTEGER NOT NULL CHECK (fee_msat >= 0),
  failure      TEXT, -- null: it was paid
  preimage     TEXT CHECK (preimage IS NULL OR failure IS NULL),
  extra        TEXT NOT NULL
) STRICT;
"""


class StubJournal:
    """One connection to the file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use `open`; this takes what it opened."""
        self._connection = connection

    @classmethod
    def open(cls, data_dir: Path) -> "StubJournal":
        """The journal in this folder, made when it is the first time. Raises sqlite3.Error."""
        connection = sqlite3.connect(data_dir / _FILE, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return cls(connection)

    def run(self, statement: str, **values: str | int | None) -> list[sqlite3.Row]:
        """One statement; outside of `transaction` it is durable when this returns.

        Raises WalletUnavailable, as all below.
        """
        with _blame_on_journal():
            return self._connection.execute(statement, values).fetchall()

    def run_for_each(self, statement: str, rows: Sequence[dict[str, str | int]]) -> None:
        """The same statement for each of these rows, in one durable transaction."""
        with self.transaction():
            self._connection.executemany(statement, rows)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make one durable transaction of the block, in which nothing is awaited."""
        with _blame_on_journal(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def balance(self) -> Msat:
        """What customers have paid, less what was paid out and what that cost."""
        rows = self.run(
            """SELECT (SELECT COALESCE(SUM(amount_msat), 0)
                       FROM settlements JOIN invoices USING (payment_hash))
                    - (SELECT COALESCE(SUM(amount_msat + fee_msat), 0)
                       FROM payouts WHERE failure IS NULL) AS msat"""
        )
        return Msat(rows[0]["msat"])

    def movements(self, since_ms: int) -> list[Movement]:
        """Payments of customers since then, in their order, then all payouts: they have no time."""
        rows = self.run(
            """SELECT 'in' AS direction, payment_hash, bolt11, amount_msat, 0 AS fee_msat,
                      settled_at_ms AS at_ms, extra
               FROM (SELECT * FROM settlements ORDER BY number) JOIN invoices USING (payment_hash)
               WHERE settled_at_ms >= :since_ms
               UNION ALL
               SELECT 'out', p.payment_hash, i.bolt11, p.amount_msat, p.fee_msat, 0, p.extra
               FROM payouts p JOIN invoices i USING (payment_hash) WHERE p.failure IS NULL""",
            since_ms=since_ms,
        )
        return [
            Movement(
                direction=row["direction"],
                payment_hash=row["payment_hash"],
                bolt11=row["bolt11"],
                amount=Msat(row["amount_msat"]),
                fee=Msat(row["fee_msat"]),
                at_ms=row["at_ms"],
                extra=json.loads(row["extra"]),
            )
            for row in rows
        ]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@contextlib.contextmanager
def _blame_on_journal() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as fault:
        raise WalletUnavailable(f"the stub wallet's journal: {fault}") from fault
