"""Processes: who works on this database, and when the service was last alive.

Leases and running idempotency keys belong to a process. What a dead process left behind is free
again. The newest sign of life tells how long nobody ran, so that deadlines do not count that time.
"""

from core.store.port import Tx

ALIVE_MS = 15_000


async def arrive(tx: Tx, process_id: str, now_ms: int) -> int | None:
    """Register a process; return when any process was last seen here, or None."""
    row = await tx.one("SELECT MAX(seen_at_ms) AS seen FROM processes")
    await see(tx, process_id, now_ms)
    return None if row is None else row["seen"]


async def see(tx: Tx, process_id: str, now_ms: int) -> None:
    """A sign of life."""
    await tx.run(
        "INSERT INTO processes (process_id, seen_at_ms) VALUES (:process_id, :now_ms)"
        " ON CONFLICT (process_id) DO UPDATE SET seen_at_ms = :now_ms",
        process_id=process_id,
        now_ms=now_ms,
    )


async def others_alive(tx: Tx, process_id: str, now_ms: int) -> list[str]:
    """Other processes that were seen lately."""
    rows = await tx.all(
        "SELECT process_id FROM processes"
        " WHERE process_id <> :process_id AND seen_at_ms > :since_ms",
        process_id=process_id,
        since_ms=now_ms - ALIVE_MS,
    )
    return [row["process_id"] for row in rows]


async def bury_others(tx: Tx, process_id: str) -> None:
    """Forget every other process: this one owns the database alone."""
    await tx.run("DELETE FROM processes WHERE process_id <> :process_id", process_id=process_id)


async def bury_silent(tx: Tx, process_id: str, now_ms: int) -> None:
    """Forget processes that have not been seen for a while."""
    await tx.run(
        "DELETE FROM processes WHERE process_id <> :process_id AND seen_at_ms <= :since_ms",
        process_id=process_id,
        since_ms=now_ms - ALIVE_MS,
    )
