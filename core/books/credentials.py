"""Credentials: the tokens that the server has handed out for sessions, and which are revoked.

A token is known by the id in its signed identifier, so that every copy of it, narrowed offline or
not, is one credential. Revoking kills a credential and all its descendants.
"""

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from core.books.sessions import SessionState
from core.store.port import Row, Tx
from core.values.errors import NotFound, Unauthorized, WrongState
from core.values.ids import id_from_bytes
from core.values.tokens import BAD_CREDENTIAL, Identifier, Token

_COLUMNS = (
    "token_id, name, session_id, parent_id, payment_hash, needs_preimage, label, caveats,"
    " inherited_count, created_at_ms"
)


@dataclass(frozen=True, slots=True)
class Credential:
    """A token as the server remembers it; `name` is its public id.

    The first `inherited_count` caveats are those of the token that asked for this one.
    """

    token_id: bytes
    name: str
    session_id: str
    parent_id: bytes | None
    payment_hash: bytes
    needs_preimage: bool
    label: str
    caveats: tuple[str, ...]
    inherited_count: int
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token whose signature holds, and the preimage that came with it, if any (32 bytes)."""

    token: Token
    preimage: bytes | None = field(default=None, repr=False)

    @property
    def has_proof(self) -> bool:
        """Whether the preimage is that of the payment in the token's identifier."""
        if self.preimage is None:
            return False
        return hmac.compare_digest(hashlib.sha256(self.preimage).digest(), self.token.payment_hash)


@dataclass(frozen=True, slots=True)
class Standing:
    """The session that a bearer's token opens now."""

    session_id: str
    state: SessionState


async def add(
    tx: Tx,
    identifier: Identifier,
    *,
    session_id: str,
    parent_id: bytes | None,
    needs_preimage: bool,
    label: str,
    caveats: tuple[str, ...],
    inherited_count: int,
    now_ms: int,
) -> str:
    """Remember a token that is handed out; return its public id."""
    name = id_from_bytes("tok", hashlib.sha256(identifier.token_id).digest())
    await tx.run(
        f"INSERT INTO credentials ({_COLUMNS}) VALUES (:token_id, :name, :session_id, :parent_id,"
        " :payment_hash, :needs_preimage, :label, :caveats, :inherited_count, :now_ms)",
        token_id=identifier.token_id,
        name=name,
        session_id=session_id,
        parent_id=parent_id,
        payment_hash=identifier.payment_hash,
        needs_preimage=int(needs_preimage),
        label=label,
        caveats="\n".join(caveats),
        inherited_count=inherited_count,
        now_ms=now_ms,
    )
    return name


async def standing(tx: Tx, bearer: Bearer) -> Standing:
    """The session that this bearer may use.

    Raises Unauthorized where the token is unknown or revoked, its session has ended, its preimage
    is wrong, or a preimage is needed and missing.
    """
    row = await tx.one(
        "SELECT c.session_id, s.state, c.needs_preimage FROM credentials c"
        " JOIN sessions s ON s.session_id = c.session_id"
        " WHERE c.token_id = :token_id AND c.revoked_at_ms IS NULL AND s.state <> 'ended'",
        token_id=bearer.token.token_id,
    )
    if row is None:
        raise Unauthorized(BAD_CREDENTIAL)
    if not bearer.has_proof and (row["needs_preimage"] or bearer.preimage is not None):
        raise Unauthorized(BAD_CREDENTIAL)
    return Standing(row["session_id"], row["state"])


async def is_known(tx: Tx, token_id: bytes) -> bool:
    """Whether this token was handed out and has not been revoked."""
    row = await tx.one(
        "SELECT 1 AS one FROM credentials WHERE token_id = :token_id AND revoked_at_ms IS NULL",
        token_id=token_id,
    )
    return row is not None


async def has_root_beside(tx: Tx, session_id: str, label: str) -> bool:
    """Whether a session has a root of another label than this."""
    row = await tx.one(
        "SELECT 1 AS one FROM credentials WHERE session_id = :session_id AND parent_id IS NULL"
        " AND label <> :label AND revoked_at_ms IS NULL",
        session_id=session_id,
        label=label,
    )
    return row is not None


async def children_of_roots(tx: Tx, session_id: str, label: str) -> list[Credential]:
    """What was made with the roots of this label and is not revoked."""
    columns = ", ".join(f"c.{name.strip()}" for name in _COLUMNS.split(","))
    rows = await tx.all(
        f"SELECT {columns} FROM credentials c JOIN credentials r ON r.token_id = c.parent_id"
        " WHERE r.session_id = :session_id AND r.parent_id IS NULL AND r.label = :label"
        " AND c.revoked_at_ms IS NULL",
        session_id=session_id,
        label=label,
    )
    return [_credential(row) for row in rows]


async def challenge_child(
    tx: Tx, parent_id: bytes, payment_hash: bytes, caveats: tuple[str, ...]
) -> Credential | None:
    """The child with these caveats that a challenge over this invoice has handed out already."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM credentials WHERE payment_hash = :payment_hash"
        " AND needs_preimage = 1 AND parent_id = :parent_id AND caveats = :caveats"
        " AND revoked_at_ms IS NULL",
        payment_hash=payment_hash,
        parent_id=parent_id,
        caveats="\n".join(caveats),
    )
    return None if row is None else _credential(row)


async def challenge_root(tx: Tx, session_id: str) -> Credential | None:
    """The token that a challenge has handed out with the session itself."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM credentials WHERE session_id = :session_id"
        " AND needs_preimage = 1 AND parent_id IS NULL AND revoked_at_ms IS NULL",
        session_id=session_id,
    )
    return None if row is None else _credential(row)


async def reach(tx: Tx, bearer: Bearer) -> list[Credential]:
    """The bearer's token and everything that stems from it, not revoked.

    A copy that was narrowed offline shares its id with the token that it was made of. It reaches
    only what was asked for with it, so neither that token nor its other children.
    """
    caveats = bearer.token.caveats.texts
    rows = await tx.all(
        f"SELECT {_COLUMNS} FROM credentials WHERE token_id IN ({_FAMILY})"
        " AND revoked_at_ms IS NULL",
        token_id=bearer.token.token_id,
    )
    family = {row["token_id"]: _credential(row) for row in rows}
    whole = family.get(bearer.token.token_id)
    if whole is None or whole.caveats == caveats:
        return list(family.values())
    children = _children(family.values())
    found = [child for child in children[whole.token_id] if _was_asked_for_with(child, caveats)]
    for parent in found:  # grows while it is read
        found += children[parent.token_id]
    return found


def named(within: Sequence[Credential], name: str) -> Credential:
    """The token of this name. Raises NotFound where it is none of these."""
    for credential in within:
        if credential.name == name:
            return credential
    raise NotFound


async def revoke(tx: Tx, chosen: Credential, now_ms: int) -> None:
    """Revoke a token and its descendants. Raises WrongState for the last root of a session."""
    if chosen.parent_id is None and await _count_roots(tx, chosen.session_id) == 1:
        raise WrongState("The last token of a session cannot be revoked.")
    await tx.run(
        f"UPDATE credentials SET revoked_at_ms = :now_ms WHERE token_id IN ({_FAMILY})"
        " AND revoked_at_ms IS NULL",
        token_id=chosen.token_id,
        now_ms=now_ms,
    )


# A customer may make any number of tokens, so a family is found in one statement.
_FAMILY: Final = (
    "WITH RECURSIVE family (member_id) AS (SELECT token_id FROM credentials"
    " WHERE token_id = :token_id UNION ALL SELECT c.token_id FROM credentials c"
    " JOIN family f ON c.parent_id = f.member_id) SELECT member_id FROM family"
)


async def _count_roots(tx: Tx, session_id: str) -> int:
    row = await tx.one(
        "SELECT COUNT(*) AS n FROM credentials WHERE session_id = :session_id"
        " AND parent_id IS NULL AND revoked_at_ms IS NULL",
        session_id=session_id,
    )
    assert row is not None
    return int(row["n"])


def _children(family: Iterable[Credential]) -> Mapping[bytes | None, list[Credential]]:
    """The members of a family by their parent's id."""
    by_parent: defaultdict[bytes | None, list[Credential]] = defaultdict(list)
    for member in family:
        by_parent[member.parent_id].append(member)
    return by_parent


def _was_asked_for_with(child: Credential, caveats: tuple[str, ...]) -> bool:
    """Whether the token that asked for this one carried at least these caveats."""
    return child.caveats[: child.inherited_count][: len(caveats)] == caveats


def _credential(row: Row) -> Credential:
    return Credential(
        token_id=row["token_id"],
        name=row["name"],
        session_id=row["session_id"],
        parent_id=row["parent_id"],
        payment_hash=row["payment_hash"],
        needs_preimage=bool(row["needs_preimage"]),
        label=row["label"],
        caveats=tuple(row["caveats"].split("\n")) if row["caveats"] else (),
        inherited_count=row["inherited_count"],
        created_at_ms=row["created_at_ms"],
    )
