"""Talks: the question that is open with somebody, and what was said in a chat."""

from dataclasses import dataclass
from typing import Literal

from core.books.people import place_of
from core.store.port import Tx
from core.values.mail import Peer

Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question of ours that waits for its answer; `ref` names it in its buttons."""

    kind: str
    ref: str
    body: str
    asked_at_ms: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that was said in a chat; a question without an answer costs nothing yet."""

    role: Role
    text: str
    cost_msat: int = 0


async def ask(tx: Tx, peer: Peer, prompt: Prompt) -> None:
    """Open a question; the one before is closed."""
    await tx.run(
        "INSERT INTO prompts (channel, realm, uid, kind, ref, body, asked_at_ms,"
        " expires_at_ms) VALUES (:channel, :realm, :uid, :kind, :ref, :body, :asked_at_ms,"
        " :expires_at_ms) ON CONFLICT (channel, realm, uid) DO UPDATE SET kind = :kind, ref = :ref,"
        " body = :body, asked_at_ms = :asked_at_ms, expires_at_ms = :expires_at_ms",
        **place_of(peer),
        kind=prompt.kind,
        ref=prompt.ref,
        body=prompt.body,
        asked_at_ms=prompt.asked_at_ms,
        expires_at_ms=prompt.expires_at_ms,
    )


async def prompt(tx: Tx, peer: Peer, now_ms: int) -> Prompt | None:
    """The question that is open with a peer."""
    row = await tx.one(
        "SELECT kind, ref, body, asked_at_ms, expires_at_ms FROM prompts WHERE channel = :channel"
        " AND realm = :realm AND uid = :uid AND expires_at_ms > :now_ms",
        **place_of(peer),
        now_ms=now_ms,
    )
    return None if row is None else Prompt(**dict(row))


async def close(tx: Tx, peer: Peer) -> None:
    """No question is open any more."""
    await tx.run(
        "DELETE FROM prompts WHERE channel = :channel AND realm = :realm AND uid = :uid",
        **place_of(peer),
    )


async def say(tx: Tx, session_id: str, turn: Turn, now_ms: int) -> None:
    """Remember what was said."""
    await tx.run(
        "INSERT INTO turns (session_id, number, role, text, cost_msat, at_ms) VALUES (:session_id,"
        " (SELECT COALESCE(MAX(t.number), 0) + 1 FROM turns t WHERE t.session_id = :session_id),"
        " :role, :text, :cost_msat, :now_ms)",
        session_id=session_id,
        role=turn.role,
        text=turn.text,
        cost_msat=turn.cost_msat,
        now_ms=now_ms,
    )


async def turns(tx: Tx, session_id: str, *, limit: int) -> list[Turn]:
    """What was said last, in its order."""
    rows = await tx.all(
        "SELECT role, text, cost_msat FROM turns WHERE session_id = :session_id"
        " ORDER BY number DESC LIMIT :limit",
        session_id=session_id,
        limit=limit,
    )
    return [Turn(row["role"], row["text"], row["cost_msat"]) for row in reversed(rows)]


async def forget(tx: Tx, session_id: str) -> None:
    """Forget what was said."""
    await tx.run("DELETE FROM turns WHERE session_id = :session_id", session_id=session_id)


async def forget_old(tx: Tx, *, before_ms: int) -> None:
    """Forget what was said before that time."""
    await tx.run("DELETE FROM turns WHERE at_ms <= :before_ms", before_ms=before_ms)
