"""Actions: what the operator did to the books or to the intake, when and why."""

from dataclasses import dataclass
from typing import Literal

from core.store.port import Tx

Action = Literal[
    "pause",
    "resume",
    "freeze",
    "thaw",
    "retry",
    "give up",
    "credit",
    "give",
    "block",
    "unblock",
    "close",
    "stay open",
]


@dataclass(frozen=True, slots=True)
class Done:
    """One action; `subject` is the id of what it was done to, or ""."""

    at_ms: int
    action: Action
    subject: str
    reason: str


async def note(tx: Tx, action: Action, *, subject: str = "", reason: str, now_ms: int) -> None:
    """Write an action down; a reason is never missing."""
    assert reason, "an operator's action has a reason"
    await tx.run(
        "INSERT INTO operator_actions (number, at_ms, action, subject, reason)"
        " SELECT COALESCE(MAX(number), 0) + 1, :now_ms, :action, :subject, :reason"
        " FROM operator_actions",
        now_ms=now_ms,
        action=action,
        subject=subject,
        reason=reason,
    )


async def listed(tx: Tx) -> list[Done]:
    """All actions, oldest first."""
    rows = await tx.all(
        "SELECT at_ms, action, subject, reason FROM operator_actions ORDER BY number"
    )
    return [Done(row["at_ms"], row["action"], row["subject"], row["reason"]) for row in rows]
