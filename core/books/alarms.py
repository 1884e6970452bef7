"""Alarms: what the operator was told of by itself, so that no process and no restart says it again.

Of each kind at most one is told in ten minutes. Some have an end: that is told, too, where their
beginning was.
"""

from dataclasses import dataclass

from core.books import settings
from core.store.port import Tx

QUIET_MS = 600_000


@dataclass(frozen=True, slots=True)
class Alarm:
    """Since when something lasts that was told, 0 where nothing does; and when it was told last."""

    since_ms: int = 0
    told_ms: int = 0


async def state(tx: Tx, kind: str) -> Alarm:
    """How an alarm stands."""
    written = await settings.get(tx, _name(kind))
    if written is None:
        return Alarm()
    since_ms, told_ms = written.split()
    return Alarm(int(since_ms), int(told_ms))


async def ring(tx: Tx, kind: str, now_ms: int, *, since_ms: int = 0) -> bool:
    """Note that an alarm is told now; False where it is not to be told.

    `since_ms` is when something began that lasts: it is told once until `end`.
    """
    alarm = await state(tx, kind)
    if alarm.since_ms or (alarm.told_ms and now_ms - alarm.told_ms < QUIET_MS):
        return False
    await _put(tx, kind, Alarm(since_ms, now_ms))
    return True


async def end(tx: Tx, kind: str) -> int | None:
    """Note that it is over, and return since when it lasted; None where nobody was told of it."""
    alarm = await state(tx, kind)
    if not alarm.since_ms:
        return None
    await _put(tx, kind, Alarm(0, alarm.told_ms))
    return alarm.since_ms


async def _put(tx: Tx, kind: str, alarm: Alarm) -> None:
    await settings.put(tx, _name(kind), f"{alarm.since_ms} {alarm.told_ms}")


def _name(kind: str) -> str:
    return f"alarm:{kind}"
