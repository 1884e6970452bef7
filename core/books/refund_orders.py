"""Refund orders: the address that a job named for its debts, and when it is tried next.

An order is due while there may be something to send. Who takes one has it for a while; what it
does with the order holds only while nobody else has taken it and nothing new has become due.
"""

from dataclasses import dataclass

from core.store.port import Tx

REFUND_ORDERS = "refund orders"  # topic: an order has become due
PAUSE_MS = 60_000
PAUSE_MS_MAX = 6 * 3_600_000


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """An order that was taken until `until_ms`; `tries` counts this one."""

    job_id: str
    address: str
    tries: int
    until_ms: int


async def add(tx: Tx, job_id: str, address: str) -> None:
    """From now on this job's debts go to this address."""
    await tx.run(
        "INSERT INTO refund_orders (job_id, address, tries) VALUES (:job_id, :address, 0)",
        job_id=job_id,
        address=address,
    )


async def wake(tx: Tx, job_id: str, now_ms: int) -> bool:
    """Something is due, or may be sent again: try now. False where the job has no order."""
    woken = await tx.run(
        "UPDATE refund_orders SET tries = 0, try_at_ms = :now_ms WHERE job_id = :job_id",
        job_id=job_id,
        now_ms=now_ms,
    )
    if woken:
        tx.announce(REFUND_ORDERS)
    return woken == 1


async def wake_later(tx: Tx, job_id: str, now_ms: int) -> None:
    """What was tried is due again: try after a pause, longer each time."""
    row = await tx.one("SELECT tries FROM refund_orders WHERE job_id = :job_id", job_id=job_id)
    if row is not None:
        await tx.run(
            "UPDATE refund_orders SET try_at_ms = :at_ms WHERE job_id = :job_id",
            job_id=job_id,
            at_ms=now_ms + pause_ms(row["tries"]),
        )


async def take_due(tx: Tx, *, now_ms: int, until_ms: int, limit: int) -> list[RefundOrder]:
    """Orders to be tried now; nobody else takes them before `until_ms`."""
    rows = await tx.all(
        "UPDATE refund_orders SET try_at_ms = :until_ms, tries = tries + 1 WHERE job_id IN"
        " (SELECT job_id FROM refund_orders WHERE try_at_ms <= :now_ms"
        " ORDER BY try_at_ms LIMIT :limit /*pg FOR UPDATE SKIP LOCKED */)"
        " RETURNING job_id, address, tries",
        now_ms=now_ms,
        until_ms=until_ms,
        limit=limit,
    )
    return [RefundOrder(row["job_id"], row["address"], row["tries"], until_ms) for row in rows]


async def give_up_takes(tx: Tx, *, now_ms: int, taken_ms: int) -> None:
    """Let what is taken for at most this long be tried now: whoever had taken it is dead."""
    await tx.run(
        "UPDATE refund_orders SET try_at_ms = :now_ms WHERE try_at_ms <= :until_ms",
        now_ms=now_ms,
        until_ms=now_ms + taken_ms,
    )


async def next_try_ms(tx: Tx) -> int | None:
    """When the next order is to be tried."""
    row = await tx.one(
        "SELECT try_at_ms FROM refund_orders WHERE try_at_ms IS NOT NULL ORDER BY try_at_ms LIMIT 1"
    )
    return None if row is None else int(row["try_at_ms"])


async def rest(tx: Tx, order: RefundOrder) -> bool:
    """Nothing is to be tried until it is woken; False where the order is no longer as taken."""
    return await _set(tx, order, None)


async def try_later(tx: Tx, order: RefundOrder, now_ms: int) -> bool:
    """Try again after a pause; False where the order is no longer as taken."""
    return await _set(tx, order, now_ms + pause_ms(order.tries))


async def forget(tx: Tx, job_id: str) -> None:
    """Delete the order of a job that goes whole."""
    await tx.run("DELETE FROM refund_orders WHERE job_id = :job_id", job_id=job_id)


def pause_ms(tries: int) -> int:
    """How long to wait after so many tries: a minute, then twice as long each time."""
    return min(PAUSE_MS << min(max(tries - 1, 0), 16), PAUSE_MS_MAX)


async def _set(tx: Tx, order: RefundOrder, at_ms: int | None) -> bool:
    changed = await tx.run(
        "UPDATE refund_orders SET try_at_ms = :at_ms"
        " WHERE job_id = :job_id AND try_at_ms = :until_ms AND tries = :tries",
        job_id=order.job_id,
        until_ms=order.until_ms,
        tries=order.tries,
        at_ms=at_ms,
    )
    return changed == 1
