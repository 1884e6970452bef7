"""A till: the smallest schema and transaction functions that can put a store to the test."""

from core.store.migrate import Migration
from core.store.port import Tx
from core.values.errors import Refused

SCHEMA = [
    Migration(
        1,
        "0001_till.sql",
        """
CREATE TABLE accounts (
  name TEXT PRIMARY KEY,
  balance INTEGER NOT NULL CHECK (balance >= 0)
) STRICT;

CREATE TABLE notes (
  note_id INTEGER PRIMARY KEY,
  place INTEGER NOT NULL,
  body TEXT,
  data BLOB
) STRICT;
""",
    )
]


class NotEnough(Refused):
    """The balance does not cover the debit."""


async def open_account(tx: Tx, name: str, balance: int) -> None:
    await tx.run(
        "INSERT INTO accounts (name, balance) VALUES (:name, :balance)", name=name, balance=balance
    )


async def debit(tx: Tx, name: str, amount: int, note_id: int) -> None:
    """Take the amount and note it; refuse before anything is written when it is not there."""
    changed = await tx.run(
        "UPDATE accounts SET balance = balance - :amount WHERE name = :name AND balance >= :amount",
        name=name,
        amount=amount,
    )
    if not changed:
        raise NotEnough("The balance does not cover this.")
    await note(tx, note_id)


async def debit_slowly(tx: Tx, name: str, amount: int) -> None:
    """Look, decide, write: right only when transactions are serial."""
    here = await balance(tx, name)
    if here < amount:
        raise NotEnough("The balance does not cover this.")
    await tx.run(
        "UPDATE accounts SET balance = :balance WHERE name = :name",
        name=name,
        balance=here - amount,
    )


async def balance(tx: Tx, name: str) -> int:
    row = await tx.one("SELECT balance FROM accounts WHERE name = :name", name=name)
    assert row is not None
    return int(row["balance"])


async def account_names(tx: Tx) -> list[str]:
    return [row["name"] for row in await tx.all("SELECT name FROM accounts ORDER BY name")]


async def note(tx: Tx, note_id: int, body: str | None = None, data: bytes | None = None) -> None:
    """Write a note that remembers how many were there before it."""
    await tx.run(
        "INSERT INTO notes (note_id, place, body, data)"
        " VALUES (:note_id, (SELECT COUNT(*) FROM notes), :body, :data)",
        note_id=note_id,
        body=body,
        data=data,
    )


async def note_and_announce(tx: Tx, note_id: int, topic: str) -> None:
    await note(tx, note_id)
    tx.announce(topic)


async def note_and_raise(tx: Tx, note_id: int, error: BaseException) -> None:
    await note(tx, note_id)
    raise error


async def notes(tx: Tx) -> list[int]:
    """The ids of all notes, in the order of their writing."""
    return [row["note_id"] for row in await tx.all("SELECT note_id FROM notes ORDER BY place")]


async def take_note(tx: Tx) -> int | None:
    """Lease the lowest note that nobody has, as the worker leases a job; its id, or None."""
    row = await tx.one(
        "UPDATE notes SET body = 'taken' WHERE note_id = (SELECT note_id FROM notes"
        " WHERE body IS NULL ORDER BY note_id LIMIT 1 /*pg FOR UPDATE SKIP LOCKED */)"
        " RETURNING note_id"
    )
    return None if row is None else row["note_id"]
