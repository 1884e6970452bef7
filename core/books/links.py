"""Links: codes by which one session's holder invites another's to join their balances.

A code is used once, within its time. Whoever gives it is the taker; the maker's yes, within the
same time again, joins the taker's balance to the maker's. Wrong codes are counted for each session.
"""

from dataclasses import dataclass
from typing import Literal

from core.books import allowances
from core.books.allowances import Allowance
from core.books.people import place_of
from core.store.port import Row, Tx
from core.values.errors import RateLimited
from core.values.ids import is_id, new_id
from core.values.mail import Peer

LIFE_MS = 600_000
KEEP_MS = 86_400_000  # that nothing came of it can be read this long
WRONG_TRIES = Allowance("link", per_hour=5)
NOWHERE = Peer("", "", "")

LinkState = Literal["open", "taken", "joined", "expired"]


@dataclass(frozen=True, slots=True)
class Link:
    """One code and what became of it; `place` is where in a chat it was made, or NOWHERE."""

    link_id: str
    maker_id: str
    taker_id: str | None
    state: LinkState
    place: Peer
    expires_at_ms: int


async def add(tx: Tx, maker_id: str, code_hash: bytes, *, place: Peer, now_ms: int) -> Link:
    """Remember a code; the maker's code before is void."""
    await tx.run(
        "UPDATE links SET state = 'expired' WHERE maker_id = :maker_id AND state = 'open'",
        maker_id=maker_id,
    )
    await tx.run(
        "DELETE FROM links WHERE expires_at_ms <= :old_ms AND state <> 'joined'",
        old_ms=now_ms - KEEP_MS,
    )
    link = Link(new_id("lnk"), maker_id, None, "open", place, now_ms + LIFE_MS)
    await tx.run(
        "INSERT INTO links (link_id, code_hash, maker_id, state, channel, realm, uid,"
        " expires_at_ms) VALUES (:link_id, :code_hash, :maker_id, 'open', :channel, :realm, :uid,"
        " :expires_at_ms)",
        **place_of(place),
        link_id=link.link_id,
        code_hash=code_hash,
        maker_id=maker_id,
        expires_at_ms=link.expires_at_ms,
    )
    return link


async def get(tx: Tx, link_id: str, now_ms: int) -> Link | None:
    """One link; None for a malformed id, too."""
    row = None
    if is_id("lnk", link_id):
        row = await tx.one("SELECT * FROM links WHERE link_id = :link_id", link_id=link_id)
    return None if row is None else _link(row, now_ms)


async def seen_by(tx: Tx, session_id: str, link_id: str, now_ms: int) -> Link | None:
    """The link of this id, if this session has made or taken it."""
    link = await get(tx, link_id, now_ms)
    return link if link is not None and session_id in {link.maker_id, link.taker_id} else None


async def made_by(tx: Tx, session_id: str, link_id: str, now_ms: int) -> Link | None:
    """The link of this id, if this session has made it."""
    link = await get(tx, link_id, now_ms)
    return link if link is not None and session_id == link.maker_id else None


async def find(tx: Tx, code_hash: bytes | None, taker_id: str, now_ms: int) -> Link | None:
    """The open link of this code, made by somebody else; None, and counted, for any other code.

    Raises RateLimited after too many wrong ones, whatever the code is. A caller that refuses must
    not undo the count.
    """
    free_at_ms = await allowances.free_at_ms(tx, WRONG_TRIES, taker_id, now_ms)
    if free_at_ms is not None:
        raise RateLimited.until("Too many wrong codes.", free_at_ms, now_ms=now_ms)
    row = None
    if code_hash is not None:
        row = await tx.one("SELECT * FROM links WHERE code_hash = :code_hash", code_hash=code_hash)
    link = None if row is None else _link(row, now_ms)
    if link is not None and link.state == "open" and link.maker_id != taker_id:
        return link
    await allowances.use(tx, WRONG_TRIES, taker_id, now_ms)
    return None


async def take(tx: Tx, link: Link, taker_id: str, now_ms: int) -> bool:
    """The taker's yes; False where somebody else was faster, or the time is over."""
    taken = await tx.run(
        "UPDATE links SET state = 'taken', taker_id = :taker_id, expires_at_ms = :until_ms"
        " WHERE link_id = :link_id AND state = 'open' AND expires_at_ms > :now_ms"
        " AND maker_id <> :taker_id",
        link_id=link.link_id,
        taker_id=taker_id,
        until_ms=now_ms + LIFE_MS,
        now_ms=now_ms,
    )
    return taken == 1


async def join(tx: Tx, link: Link) -> bool:
    """The maker's yes; False where the link is no longer as it was seen."""
    joined = await tx.run(
        "UPDATE links SET state = 'joined' WHERE link_id = :link_id AND state = 'taken'",
        link_id=link.link_id,
    )
    return joined == 1


async def refuse(tx: Tx, link: Link) -> bool:
    """The maker's no; False where the link has ended before."""
    ended = await tx.run(
        "UPDATE links SET state = 'expired'"
        " WHERE link_id = :link_id AND state IN ('open', 'taken')",
        link_id=link.link_id,
    )
    return ended == 1


async def void_of(tx: Tx, session_id: str) -> None:
    """End what a session has made or taken and has not led to a join."""
    await tx.run(
        "UPDATE links SET state = 'expired' WHERE state IN ('open', 'taken')"
        " AND (maker_id = :session_id OR taker_id = :session_id)",
        session_id=session_id,
    )


def _link(row: Row, now_ms: int) -> Link:
    is_waiting = row["state"] in {"open", "taken"}
    is_over = is_waiting and row["expires_at_ms"] <= now_ms
    return Link(
        link_id=row["link_id"],
        maker_id=row["maker_id"],
        taker_id=row["taker_id"],
        state="expired" if is_over else row["state"],
        place=Peer(row["channel"], row["realm"], row["uid"]),
        expires_at_ms=row["expires_at_ms"],
    )
