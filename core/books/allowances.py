"""Allowances: what is free is counted, by whom it was used and in all.

Counts outlive a restart; only uses of the last day are kept.
"""

from dataclasses import dataclass
from typing import Literal

from core.store.port import Tx
from core.values.errors import RateLimited

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

What = Literal["demo", "evaluation", "link"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """How often something free may be used; 0 is no limit."""

    what: What
    per_hour: int
    per_day_total: int = 0


async def use(tx: Tx, allowance: Allowance, client: str, now_ms: int) -> int | None:
    """Count one use and return None; or count nothing and return when the next is possible."""
    free_ms = await free_at_ms(tx, allowance, client, now_ms)
    if free_ms is not None:
        return free_ms
    await tx.run(
        "INSERT INTO free_uses (what, client, at_ms) VALUES (:what, :client, :now_ms)",
        what=allowance.what,
        client=client,
        now_ms=now_ms,
    )
    return None


async def free_at_ms(tx: Tx, allowance: Allowance, client: str, now_ms: int) -> int | None:
    """When the next use is possible; None for now."""
    mine = await _uses(tx, allowance.what, client, since_ms=now_ms - HOUR_MS)
    if allowance.per_hour and len(mine) >= allowance.per_hour:
        return mine[-allowance.per_hour] + HOUR_MS
    everybody = await _uses(tx, allowance.what, "", since_ms=now_ms - DAY_MS)
    if allowance.per_day_total and len(everybody) >= allowance.per_day_total:
        return everybody[-allowance.per_day_total] + DAY_MS
    return None


async def use_or_refuse(tx: Tx, allowance: Allowance, client: str, now_ms: int) -> None:
    """Count one use. Raises RateLimited where none is left."""
    free_at_ms = await use(tx, allowance, client, now_ms)
    if free_at_ms is not None:
        detail = f"Your free {allowance.what} uses are used up for now."
        raise RateLimited.until(detail, free_at_ms, now_ms=now_ms)


async def forget_old(tx: Tx, now_ms: int) -> None:
    """Delete uses that count no more."""
    await tx.run("DELETE FROM free_uses WHERE at_ms <= :since_ms", since_ms=now_ms - DAY_MS)


async def _uses(tx: Tx, what: What, client: str, *, since_ms: int) -> list[int]:
    """When it was used, oldest first; by everybody where `client` is empty."""
    rows = await tx.all(
        "SELECT at_ms FROM free_uses WHERE what = :what AND at_ms > :since_ms"
        " AND (client = :client OR :client = '') ORDER BY at_ms",
        what=what,
        client=client,
        since_ms=since_ms,
    )
    return [row["at_ms"] for row in rows]
