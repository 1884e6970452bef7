"""The inbox: what came in from people, and what the books have to tell them, in one order.

A row is stored before its channel hears that we have it, and done in the same transaction as its
effects: what is killed in between runs again, what comes twice is one row.
"""

from dataclasses import dataclass
from typing import Literal

from core.books import people
from core.books.people import place_of
from core.store.port import Row, Tx
from core.values.mail import (
    Edited,
    Elsewhere,
    File,
    Inbound,
    Peer,
    Presence,
    Press,
    Text,
    Unsupported,
)
from core.values.packed import named, pack, unpack

MAIL = "mail"  # topic: somebody has mail to be read
TRIES_MAX = 3
KEEP_MS = 4 * 86_400_000  # ids of what came in are known this long; relays repeat three days

What = Literal["paid", "job", "refund", "reminder", "closing", "link"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the books tell a person. `ref` names it: a payment hash, an id, a code."""

    what: What
    ref: str
    amount_msat: int = 0
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """One row to be read."""

    session_id: str
    number: int
    tries: int
    at_ms: int  # when it was stored
    item: Inbound | Event


async def take(tx: Tx, inbound: Inbound, lang: str, now_ms: int) -> bool:
    """Store what came in; False where it had come before."""
    peer = inbound.peer
    known = await tx.one(
        "SELECT 1 AS one FROM inbox WHERE channel = :channel AND realm = :realm"
        " AND ext_id = :ext_id",
        channel=peer.channel,
        realm=peer.realm,
        ext_id=inbound.ext_id,
    )
    if known is not None:
        return False
    session_id = await people.meet(
        tx, peer, lang=lang, name=inbound.name, via=inbound.via, now_ms=now_ms
    )
    await tx.run(
        f"{_INSERT} VALUES (:session_id, {_NEXT}, :channel, :realm, :uid, :ext_id, :body, 'new', 0,"
        " :now_ms, :now_ms)",
        **place_of(peer),
        session_id=session_id,
        ext_id=inbound.ext_id,
        body=pack(inbound),
        now_ms=now_ms,
    )
    tx.announce(MAIL)
    return True


async def tell(tx: Tx, session_id: str, event: Event, *, key: str, now_ms: int) -> None:
    """Let a person know of something, once for each `key`. No change for who is in no chat."""
    told = await tx.run(
        f"{_INSERT} SELECT p.session_id, {_NEXT}, '', '', '', :key, :body, 'new', 0, :now_ms,"
        " :now_ms FROM people p WHERE p.session_id = :session_id ON CONFLICT DO NOTHING",
        session_id=session_id,
        key=key,
        body=pack(event),
        now_ms=now_ms,
    )
    if told:
        tx.announce(MAIL)


async def next_mail(tx: Tx, session_id: str, now_ms: int) -> Mail | None:
    """The oldest row that a person has to be read, if its time has come."""
    row = await tx.one(
        "SELECT session_id, number, tries, at_ms, body, not_before_ms FROM inbox"
        " WHERE session_id = :session_id AND state = 'new' ORDER BY number LIMIT 1",
        session_id=session_id,
    )
    if row is None or row["not_before_ms"] > now_ms:
        return None
    return _mail(row)


async def not_before_ms(tx: Tx, session_id: str) -> int:
    """When a person's oldest row is to be read; 0 where none waits."""
    row = await tx.one(
        "SELECT not_before_ms FROM inbox WHERE session_id = :session_id AND state = 'new'"
        " ORDER BY number LIMIT 1",
        session_id=session_id,
    )
    return 0 if row is None else int(row["not_before_ms"])


async def next_due_ms(tx: Tx) -> int | None:
    """When the next row is to be read."""
    row = await tx.one("SELECT MIN(not_before_ms) AS due_ms FROM inbox WHERE state = 'new'")
    assert row is not None
    due_ms: int | None = row["due_ms"]
    return due_ms


async def done(tx: Tx, mail: Mail) -> bool:
    """Close a row in the transaction of its effects; False where somebody else has closed it."""
    changed = await tx.run(
        "UPDATE inbox SET state = 'done', body = '' WHERE session_id = :session_id"
        " AND number = :number AND state = 'new'",
        session_id=mail.session_id,
        number=mail.number,
    )
    return changed == 1


async def failed(tx: Tx, mail: Mail, *, again_at_ms: int) -> bool:
    """Count a try that came to nothing; False where it was the last."""
    row = await tx.one(
        "UPDATE inbox SET tries = tries + 1, not_before_ms = :again_at_ms,"
        " state = CASE WHEN tries + 1 >= :tries_max THEN 'dead' ELSE 'new' END"
        " WHERE session_id = :session_id AND number = :number AND state = 'new' RETURNING state",
        session_id=mail.session_id,
        number=mail.number,
        again_at_ms=again_at_ms,
        tries_max=TRIES_MAX,
    )
    return row is not None and row["state"] == "new"


async def wait(tx: Tx, mail: Mail, *, until_ms: int) -> None:
    """Read a row later; what came after it waits, too."""
    await tx.run(
        "UPDATE inbox SET not_before_ms = :until_ms"
        " WHERE session_id = :session_id AND number = :number AND state = 'new'",
        session_id=mail.session_id,
        number=mail.number,
        until_ms=until_ms,
    )


async def remind(tx: Tx, session_id: str, kind: str, ref: str, *, at_ms: int) -> None:
    """Tell the person of `kind` and `ref` at that time; a later call for the same moves it."""
    await tx.run(
        "INSERT INTO reminders (session_id, kind, ref, at_ms) VALUES (:session_id, :kind, :ref,"
        " :at_ms) ON CONFLICT (session_id, kind, ref) DO UPDATE SET at_ms = :at_ms",
        session_id=session_id,
        kind=kind,
        ref=ref,
        at_ms=at_ms,
    )
    tx.announce(MAIL)


async def next_reminder_ms(tx: Tx) -> int | None:
    """When the next reminder is due."""
    row = await tx.one("SELECT MIN(at_ms) AS due_ms FROM reminders")
    assert row is not None
    due_ms: int | None = row["due_ms"]
    return due_ms


async def ring(tx: Tx, now_ms: int, limit: int) -> int:
    """Turn reminders that are due into events; return how many."""
    rows = await tx.all(
        "SELECT session_id, kind, ref, at_ms FROM reminders WHERE at_ms <= :now_ms"
        " ORDER BY at_ms LIMIT :limit",
        now_ms=now_ms,
        limit=limit,
    )
    for row in rows:
        await tx.run(
            "DELETE FROM reminders WHERE session_id = :session_id AND kind = :kind AND ref = :ref",
            session_id=row["session_id"],
            kind=row["kind"],
            ref=row["ref"],
        )
        await tell(
            tx,
            row["session_id"],
            Event("reminder", row["ref"], kind=row["kind"]),
            key=f"reminder:{row['session_id']}:{row['kind']}:{row['ref']}:{row['at_ms']}",
            now_ms=now_ms,
        )
    return len(rows)


async def forget_old(tx: Tx, now_ms: int, limit: int) -> int:
    """Delete rows that were read long ago; return how many."""
    return await tx.run(
        "DELETE FROM inbox WHERE (session_id, number) IN (SELECT session_id, number FROM inbox"
        " WHERE state <> 'new' AND at_ms <= :until_ms ORDER BY at_ms LIMIT :limit)",
        until_ms=now_ms - KEEP_MS,
        limit=limit,
    )


async def recent_count(tx: Tx, session_id: str, *, since_ms: int) -> int:
    """How much a person has written since then."""
    row = await tx.one(
        "SELECT COUNT(*) AS n FROM inbox WHERE session_id = :session_id AND channel <> ''"
        " AND at_ms > :since_ms",
        session_id=session_id,
        since_ms=since_ms,
    )
    assert row is not None
    return int(row["n"])


_INSERT = (
    "INSERT INTO inbox (session_id, number, channel, realm, uid, ext_id, body, state, tries,"
    " at_ms, not_before_ms)"
)
_NEXT = "(SELECT COALESCE(MAX(i.number), 0) + 1 FROM inbox i WHERE i.session_id = :session_id)"


_CLASSES = named(Inbound, Event, Peer, Text, File, Press, Unsupported, Presence, Edited, Elsewhere)


def _mail(row: Row) -> Mail:
    return Mail(
        session_id=row["session_id"],
        number=row["number"],
        tries=row["tries"],
        at_ms=row["at_ms"],
        item=unpack(row["body"], _CLASSES),
    )
