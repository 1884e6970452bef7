"""Demo uses: how often the free demo was used, by whom and in all."""

from core.store.port import Tx

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


async def next_free_ms(
    tx: Tx, client: str, *, per_hour: int, per_day_total: int, now_ms: int
) -> int | None:
    """Count one use and return None, or return when the next use will be possible."""
    mine = await tx.all(
        "SELECT at_ms FROM demo_uses WHERE client = :client AND at_ms > :since_ms ORDER BY at_ms",
        client=client,
        since_ms=now_ms - HOUR_MS,
    )
    if len(mine) >= per_hour:
        return int(mine[-per_hour]["at_ms"]) + HOUR_MS
    everybody = await tx.all(
        "SELECT at_ms FROM demo_uses WHERE at_ms > :since_ms ORDER BY at_ms DESC LIMIT :limit",
        since_ms=now_ms - DAY_MS,
        limit=per_day_total,
    )
    if len(everybody) >= per_day_total:
        return int(everybody[-1]["at_ms"]) + DAY_MS
    await tx.run(
        "INSERT INTO demo_uses (client, at_ms) VALUES (:client, :now_ms)",
        client=client,
        now_ms=now_ms,
    )
    return None


async def forget_old(tx: Tx, now_ms: int) -> None:
    """Delete uses that count no more."""
    await tx.run("DELETE FROM demo_uses WHERE at_ms <= :since_ms", since_ms=now_ms - DAY_MS)
