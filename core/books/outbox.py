"""The outbox: what is to be said, committed with the reason to say it, and what stands where.

A letter to a slot takes the place of an unsent one to the same slot, unless that one is news or
the new one is passing: where nothing can be edited the older one is all that will be said. What a
letter takes several messages for is remembered message by message.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.books.people import place_of
from core.store.port import Row, Tx
from core.values.mail import (
    Bill,
    Button,
    Copy,
    Letter,
    Link,
    Note,
    Peer,
    Result,
)
from core.values.packed import named, pack, unpack

OUTBOX = "outbox"  # topic: there is something to be sent
KEEP_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Queued:
    """A letter to be sent; `sent_ids` are the messages of it that the channel has already.

    `doubts` counts how often the channel may have taken the next message without saying so.
    """

    number: int
    letter: Letter
    tries: int
    doubts: int
    sent_ids: tuple[str, ...]
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class Card:
    """What stands in a slot."""

    ext_ids: tuple[str, ...]
    form: str
    digest: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many letters of a channel wait, and since when the oldest does."""

    channel: str
    letters: int
    oldest_ms: int


async def post(tx: Tx, letter: Letter, now_ms: int) -> None:
    """Have something said."""
    slot = letter.slot or ""
    row = await tx.one(
        "INSERT INTO outbox (number, channel, realm, uid, slot, body, is_news, state, tries,"
        " doubts, sent_ids, not_before_ms, created_at_ms) VALUES ("
        "(SELECT COALESCE(MAX(o.number), 0) + 1 FROM outbox o), :channel, :realm, :uid, :slot,"
        " :body, :is_news, 'queued', 0, 0, '', :now_ms, :now_ms) RETURNING number",
        **place_of(letter.peer),
        slot=slot,
        body=pack(replace(letter, at_ms=letter.at_ms or now_ms)),
        is_news=int(letter.is_news),
        now_ms=now_ms,
    )
    assert row is not None
    if slot and not letter.is_passing:
        # After the new one has its number: whoever is sending the old one must not close it.
        await tx.run(
            "DELETE FROM outbox WHERE channel = :channel AND realm = :realm AND uid = :uid"
            " AND slot = :slot AND state = 'queued' AND is_news = 0 AND doubts = 0"
            " AND sent_ids = '' AND number < :number",
            **place_of(letter.peer),
            slot=slot,
            number=row["number"],
        )
    tx.announce(OUTBOX)


async def due(tx: Tx, channel: str, realm: str, *, now_ms: int, limit: int) -> list[Queued]:
    """The oldest letter of each peer whose time has come, oldest first."""
    rows = await tx.all(
        "SELECT o.* FROM outbox o WHERE o.channel = :channel AND o.realm = :realm"
        " AND o.state = 'queued' AND o.not_before_ms <= :now_ms AND NOT EXISTS (SELECT 1"
        " FROM outbox b WHERE b.channel = o.channel AND b.realm = o.realm AND b.uid = o.uid"
        " AND b.state = 'queued' AND b.number < o.number) ORDER BY o.number LIMIT :limit",
        channel=channel,
        realm=realm,
        now_ms=now_ms,
        limit=limit,
    )
    return [_queued(row) for row in rows]


async def next_due_ms(tx: Tx, channel: str, realm: str) -> int | None:
    """When the next letter is to be sent."""
    row = await tx.one(
        "SELECT MIN(not_before_ms) AS due_ms FROM outbox"
        " WHERE channel = :channel AND realm = :realm AND state = 'queued'",
        channel=channel,
        realm=realm,
    )
    assert row is not None
    due_ms: int | None = row["due_ms"]
    return due_ms


async def sent_part(tx: Tx, number: int, sent_ids: Sequence[str]) -> None:
    """Note the messages of a letter that the channel has."""
    await tx.run(
        "UPDATE outbox SET sent_ids = :sent_ids, tries = 0, doubts = 0 WHERE number = :number",
        number=number,
        sent_ids="\n".join(sent_ids),
    )


async def sent(tx: Tx, number: int) -> None:
    """A letter is said whole; its text is forgotten."""
    await _close(tx, number, "sent")


async def dead(tx: Tx, number: int) -> None:
    """A letter will never be said."""
    await _close(tx, number, "dead")


async def again(tx: Tx, number: int, *, at_ms: int) -> None:
    """Try a letter again later: the channel did not take it."""
    await tx.run(
        "UPDATE outbox SET tries = tries + 1, doubts = 0, not_before_ms = :at_ms"
        " WHERE number = :number",
        number=number,
        at_ms=at_ms,
    )


async def in_doubt(tx: Tx, number: int, *, at_ms: int) -> None:
    """Look at a letter again later: the channel may have taken its next message."""
    await tx.run(
        "UPDATE outbox SET tries = tries + 1, doubts = doubts + 1, not_before_ms = :at_ms"
        " WHERE number = :number",
        number=number,
        at_ms=at_ms,
    )


async def park(tx: Tx, peer: Peer) -> None:
    """Keep everything for a peer until it can be reached again."""
    await tx.run(
        "UPDATE outbox SET state = 'parked' WHERE channel = :channel AND realm = :realm"
        " AND uid = :uid AND state = 'queued'",
        **place_of(peer),
    )


async def unpark(tx: Tx, first: Letter, now_ms: int) -> None:
    """Send what was kept for the peer of this letter, after the letter; nothing, no letter."""
    kept = await tx.all(
        "SELECT number FROM outbox WHERE channel = :channel AND realm = :realm AND uid = :uid"
        " AND state = 'parked' ORDER BY number",
        **place_of(first.peer),
    )
    if not kept:
        return
    await post(tx, first, now_ms)
    for row in kept:
        await tx.run(
            "UPDATE outbox SET state = 'queued', not_before_ms = :now_ms,"
            " number = (SELECT MAX(o.number) + 1 FROM outbox o) WHERE number = :number",
            number=row["number"],
            now_ms=now_ms,
        )


async def card(tx: Tx, peer: Peer, slot: str) -> Card | None:
    """What stands in a slot."""
    row = await tx.one(
        "SELECT ext_ids, form, digest FROM cards WHERE channel = :channel AND realm = :realm"
        " AND uid = :uid AND slot = :slot",
        **place_of(peer),
        slot=slot,
    )
    if row is None:
        return None
    return Card(tuple(row["ext_ids"].split("\n")), row["form"], row["digest"])


async def waits(tx: Tx, peer: Peer, slot: str) -> bool:
    """Whether a letter to this slot is queued, or kept until its peer can be reached."""
    row = await tx.one(
        "SELECT 1 AS one FROM outbox WHERE channel = :channel AND realm = :realm AND uid = :uid"
        " AND slot = :slot AND state IN ('queued', 'parked') LIMIT 1",
        **place_of(peer),
        slot=slot,
    )
    return row is not None


async def slot_of(tx: Tx, peer: Peer, ext_id: str) -> str | None:
    """The slot that this message of ours stands in."""
    rows = await tx.all(
        "SELECT slot, ext_ids FROM cards WHERE channel = :channel AND realm = :realm"
        " AND uid = :uid ORDER BY shown_at_ms DESC LIMIT 50",
        **place_of(peer),
    )
    return next((row["slot"] for row in rows if ext_id in row["ext_ids"].split("\n")), None)


async def show(tx: Tx, peer: Peer, slot: str, shown: Card, now_ms: int) -> None:
    """Note what stands in a slot now."""
    await tx.run(
        "INSERT INTO cards (channel, realm, uid, slot, ext_ids, form, digest, shown_at_ms)"
        " VALUES (:channel, :realm, :uid, :slot, :ext_ids, :form, :digest, :now_ms)"
        " ON CONFLICT (channel, realm, uid, slot) DO UPDATE SET ext_ids = :ext_ids, form = :form,"
        " digest = :digest, shown_at_ms = :now_ms",
        **place_of(peer),
        slot=slot,
        ext_ids="\n".join(shown.ext_ids),
        form=shown.form,
        digest=shown.digest,
        now_ms=now_ms,
    )


async def lose(tx: Tx, peer: Peer, slot: str) -> None:
    """Nothing stands in a slot any more."""
    await tx.run(
        "DELETE FROM cards WHERE channel = :channel AND realm = :realm AND uid = :uid"
        " AND slot = :slot",
        **place_of(peer),
        slot=slot,
    )


async def move(tx: Tx, peer: Peer, before: str, after: str) -> None:
    """What stands in one slot stands in another from now on, which was empty."""
    await tx.run(
        "UPDATE cards SET slot = :after WHERE channel = :channel AND realm = :realm"
        " AND uid = :uid AND slot = :before",
        **place_of(peer),
        before=before,
        after=after,
    )


async def where(tx: Tx, slot: str) -> list[Peer]:
    """Who was shown this slot."""
    rows = await tx.all("SELECT channel, realm, uid FROM cards WHERE slot = :slot", slot=slot)
    return [Peer(row["channel"], row["realm"], row["uid"]) for row in rows]


async def backlog(tx: Tx, channel: str, realm: str) -> tuple[int, int | None]:
    """How many letters wait, and since when the oldest does."""
    row = await tx.one(
        "SELECT COUNT(*) AS n, MIN(created_at_ms) AS oldest_ms FROM outbox"
        " WHERE channel = :channel AND realm = :realm AND state = 'queued'",
        channel=channel,
        realm=realm,
    )
    assert row is not None
    return int(row["n"]), row["oldest_ms"]


async def backlogs(tx: Tx) -> list[Backlog]:
    """What waits on every channel that has something."""
    rows = await tx.all(
        "SELECT channel, COUNT(*) AS letters, MIN(created_at_ms) AS oldest_ms FROM outbox"
        " WHERE state = 'queued' GROUP BY channel ORDER BY channel"
    )
    return [Backlog(row["channel"], row["letters"], row["oldest_ms"]) for row in rows]


async def forget_old(tx: Tx, now_ms: int, limit: int) -> int:
    """Delete letters that were said long ago; return how many."""
    return await tx.run(
        "DELETE FROM outbox WHERE number IN (SELECT number FROM outbox"
        " WHERE state IN ('sent', 'dead') AND created_at_ms <= :until_ms"
        " ORDER BY created_at_ms LIMIT :limit)",
        until_ms=now_ms - KEEP_MS,
        limit=limit,
    )


async def _close(tx: Tx, number: int, state: str) -> None:
    await tx.run(
        "UPDATE outbox SET state = :state, body = '' WHERE number = :number",
        number=number,
        state=state,
    )


_CLASSES = named(Letter, Peer, Note, Bill, Result, Button, Link, Copy)


def _queued(row: Row) -> Queued:
    return Queued(
        number=row["number"],
        letter=unpack(row["body"], _CLASSES),
        tries=row["tries"],
        doubts=row["doubts"],
        sent_ids=tuple(row["sent_ids"].split("\n")) if row["sent_ids"] else (),
        created_at_ms=row["created_at_ms"],
    )
