"""People: who somebody is on a channel, and whose session they spend.

A person is the session of its balance. The first message from a new peer opens one: active at
once, with nothing in it. A peer is known by its channel's own id only; names are for display.
"""

import hashlib
from dataclasses import dataclass

from core.books import credentials, sessions
from core.store.port import Row, Tx
from core.values.ids import new_id
from core.values.mail import Peer
from core.values.tokens import Identifier, new_token_id

CHAT_LABEL = "chat"

_COLUMNS = (
    "session_id, token_id, lang, limit_sats, is_chatting, was_told_low, is_blocked, created_at_ms"
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who writes to us. `limit_sats` is what work may cost without asking; 0 asks."""

    session_id: str
    token_id: bytes
    lang: str
    limit_sats: int
    is_chatting: bool
    was_told_low: bool
    is_blocked: bool
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer as it is known."""

    peer: Peer
    session_id: str
    name: str
    via: str
    is_reachable: bool
    seen_at_ms: int


async def meet(tx: Tx, peer: Peer, *, lang: str, name: str, via: str, now_ms: int) -> str:
    """The session of this peer, opened where it is new; it was seen now."""
    seen = await tx.one(
        "UPDATE peers SET seen_at_ms = :now_ms, name = :name,"
        " via = CASE WHEN :via = '' THEN via ELSE :via END"
        " WHERE channel = :channel AND realm = :realm AND uid = :uid RETURNING session_id",
        **place_of(peer),
        name=name,
        via=via,
        now_ms=now_ms,
    )
    if seen is not None:
        session_id: str = seen["session_id"]
        return session_id
    session_id = await open_fresh(tx, lang, now_ms)
    await tx.run(
        "INSERT INTO peers (channel, realm, uid, session_id, name, via, is_reachable, seen_at_ms)"
        " VALUES (:channel, :realm, :uid, :session_id, :name, :via, 1, :now_ms)",
        **place_of(peer),
        session_id=session_id,
        name=name,
        via=via,
        now_ms=now_ms,
    )
    return session_id


async def person(tx: Tx, session_id: str) -> Person:
    """The person of this session, who is known to exist."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM people WHERE session_id = :session_id", session_id=session_id
    )
    assert row is not None, "a peer belongs to a person"
    return _person(row)


async def contact(tx: Tx, peer: Peer) -> Contact | None:
    """What is known of a peer."""
    row = await tx.one(
        "SELECT * FROM peers WHERE channel = :channel AND realm = :realm AND uid = :uid",
        **place_of(peer),
    )
    return None if row is None else _contact(row)


async def contacts(tx: Tx, session_id: str) -> list[Contact]:
    """Everywhere a person can be found, the one seen last first."""
    rows = await tx.all(
        "SELECT * FROM peers WHERE session_id = :session_id"
        " ORDER BY seen_at_ms DESC, channel, realm, uid",
        session_id=session_id,
    )
    return [_contact(row) for row in rows]


async def named(tx: Tx, name: str) -> list[Contact]:
    """Everybody whose session, or whose own id on some channel, this is."""
    channel, colon, uid = name.partition(":")
    rows = await tx.all(
        "SELECT * FROM peers WHERE session_id = :name OR uid = :name"
        " OR (channel = :channel AND uid = :uid) ORDER BY seen_at_ms DESC, channel, realm, uid",
        name=name,
        channel=channel if colon else "",
        uid=uid,
    )
    return [_contact(row) for row in rows]


async def with_money(tx: Tx) -> list[str]:
    """The sessions of all people who have at least a satoshi."""
    rows = await tx.all(
        "SELECT p.session_id FROM people p JOIN accounts a ON a.account_id = p.session_id"
        " WHERE a.balance_msat >= 1000 ORDER BY p.session_id"
    )
    return [row["session_id"] for row in rows]


async def speak(tx: Tx, session_id: str, lang: str) -> None:
    """Choose a person's language."""
    await _set(tx, session_id, "lang = :lang", lang=lang)


async def limit(tx: Tx, session_id: str, sats: int) -> None:
    """Choose up to what price work starts without asking."""
    await _set(tx, session_id, "limit_sats = :sats", sats=sats)


async def open_chat(tx: Tx, session_id: str) -> None:
    """From now on what the person writes is talk."""
    await _set(tx, session_id, "is_chatting = :is_chatting", is_chatting=1)


async def close_chat(tx: Tx, session_id: str) -> None:
    """From now on what the person writes is a request."""
    await _set(tx, session_id, "is_chatting = :is_chatting", is_chatting=0)


async def tell_low(tx: Tx, session_id: str, told: int) -> None:
    """Note whether the person knows that the balance is low: 1 for yes, 0 after money came."""
    await _set(tx, session_id, "was_told_low = :told", told=told)


async def block(tx: Tx, session_id: str, is_blocked: int) -> None:
    """Serve this person no more (1), or again (0)."""
    await _set(tx, session_id, "is_blocked = :is_blocked", is_blocked=is_blocked)


async def reach(tx: Tx, peer: Peer, is_reachable: int) -> None:
    """Note whether a peer can be written to."""
    await tx.run(
        "UPDATE peers SET is_reachable = :is_reachable"
        " WHERE channel = :channel AND realm = :realm AND uid = :uid",
        **place_of(peer),
        is_reachable=is_reachable,
    )


async def claim(tx: Tx, owner: str, *, now_ms: int, until_ms: int, limit: int) -> list[str]:
    """Sessions with mail to be read, now in this owner's hands alone until `until_ms`."""
    rows = await tx.all(
        "UPDATE people SET busy_owner = :owner, busy_until_ms = :until_ms"
        " WHERE busy_until_ms <= :now_ms AND session_id IN (SELECT i.session_id FROM inbox i"
        " JOIN people p ON p.session_id = i.session_id AND p.busy_until_ms <= :now_ms"
        " WHERE i.state = 'new' AND i.not_before_ms <= :now_ms"
        " GROUP BY i.session_id ORDER BY MIN(i.not_before_ms) LIMIT :limit)"
        " RETURNING session_id",
        owner=owner,
        now_ms=now_ms,
        until_ms=until_ms,
        limit=limit,
    )
    return [row["session_id"] for row in rows]


async def hold(tx: Tx, session_id: str, owner: str, until_ms: int) -> bool:
    """Keep a person longer; False where this owner has let go, or somebody else has it by now."""
    changed = await tx.run(
        "UPDATE people SET busy_until_ms = :until_ms"
        " WHERE session_id = :session_id AND busy_owner = :owner",
        session_id=session_id,
        owner=owner,
        until_ms=until_ms,
    )
    return changed == 1


async def let_go(tx: Tx, session_id: str, owner: str, until_ms: int) -> None:
    """Let go of a person, whom anybody may claim from then on. No change if it is not held."""
    await tx.run(
        "UPDATE people SET busy_owner = NULL, busy_until_ms = :until_ms"
        " WHERE session_id = :session_id AND busy_owner = :owner",
        session_id=session_id,
        owner=owner,
        until_ms=until_ms,
    )


async def let_all_go(tx: Tx, owner: str) -> None:
    """Let go of everybody whom a process holds."""
    await tx.run(
        "UPDATE people SET busy_owner = NULL, busy_until_ms = 0 WHERE busy_owner = :owner",
        owner=owner,
    )


async def free_all(tx: Tx, owner: str) -> None:
    """At the start of a process that is alone on its database: nobody else holds anybody."""
    await tx.run(
        "UPDATE people SET busy_owner = NULL, busy_until_ms = 0 WHERE busy_owner <> :owner",
        owner=owner,
    )


def root_of(session_id: str, token_id: bytes) -> Identifier:
    """The identifier of a person's own token; a session without a deposit is named by its id."""
    return Identifier(hashlib.sha256(session_id.encode()).digest(), token_id)


async def open_fresh(tx: Tx, lang: str, now_ms: int) -> str:
    """A new person with a session of its own; who that is, a peer tells."""
    session_id, token_id = new_id("ses"), new_token_id()
    await sessions.add_active(tx, session_id, now_ms)
    await credentials.add(
        tx,
        root_of(session_id, token_id),
        session_id=session_id,
        parent_id=None,
        needs_preimage=False,
        label=CHAT_LABEL,
        caveats=(),
        inherited_count=0,
        now_ms=now_ms,
    )
    await tx.run(
        f"INSERT INTO people ({_COLUMNS}, busy_until_ms) VALUES (:session_id, :token_id, :lang, 0,"
        " 0, 0, 0, :now_ms, 0)",
        session_id=session_id,
        token_id=token_id,
        lang=lang,
        now_ms=now_ms,
    )
    return session_id


async def _set(tx: Tx, session_id: str, what: str, **values: object) -> None:
    await tx.run(
        f"UPDATE people SET {what} WHERE session_id = :session_id",
        session_id=session_id,
        **values,
    )


def place_of(peer: Peer) -> dict[str, str]:
    """A peer as parameters of a statement."""
    return {"channel": peer.channel, "realm": peer.realm, "uid": peer.uid}


def _person(row: Row) -> Person:
    return Person(
        session_id=row["session_id"],
        token_id=row["token_id"],
        lang=row["lang"],
        limit_sats=row["limit_sats"],
        is_chatting=bool(row["is_chatting"]),
        was_told_low=bool(row["was_told_low"]),
        is_blocked=bool(row["is_blocked"]),
        created_at_ms=row["created_at_ms"],
    )


def _contact(row: Row) -> Contact:
    return Contact(
        peer=Peer(row["channel"], row["realm"], row["uid"]),
        session_id=row["session_id"],
        name=row["name"],
        via=row["via"],
        is_reachable=bool(row["is_reachable"]),
        seen_at_ms=row["seen_at_ms"],
    )
