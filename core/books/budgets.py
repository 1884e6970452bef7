"""Budgets: how much the tokens that share a budget have used of it.

One counter for each session and budget id, whoever carries it. A hold counts at once; when it
resolves, what was really charged counts instead.
"""

from collections.abc import Sequence

from core.store.port import Tx
from core.values.caveats import Budget
from core.values.money import Msat


async def left(tx: Tx, session_id: str, budget: Budget) -> tuple[Msat, Msat]:
    """What a budget still allows now, and what it will once running holds are released."""
    row = await tx.one(
        "SELECT used_msat, held_msat FROM budgets"
        " WHERE session_id = :session_id AND budget_id = :budget_id",
        session_id=session_id,
        budget_id=budget.budget_id,
    )
    used, held = (0, 0) if row is None else (row["used_msat"], row["held_msat"])
    return Msat(max(0, budget.limit - used - held)), Msat(max(0, budget.limit - used))


async def hold(
    tx: Tx, hold_id: str, session_id: str, budgets: Sequence[Budget], amount: Msat
) -> None:
    """Count a hold against every one of these budgets; the caller has looked at what is left."""
    for budget in budgets:
        await tx.run(
            "INSERT INTO budgets (session_id, budget_id, used_msat, held_msat)"
            " VALUES (:session_id, :budget_id, 0, :amount) ON CONFLICT (session_id, budget_id)"
            " DO UPDATE SET held_msat = budgets.held_msat + :amount",
            session_id=session_id,
            budget_id=budget.budget_id,
            amount=amount,
        )
        await tx.run(
            "INSERT INTO budget_holds (hold_id, session_id, budget_id, amount_msat)"
            " VALUES (:hold_id, :session_id, :budget_id, :amount)",
            hold_id=hold_id,
            session_id=session_id,
            budget_id=budget.budget_id,
            amount=amount,
        )


async def resolve(tx: Tx, hold_id: str, used: Msat) -> None:
    """Count what was used in place of what was held."""
    rows = await tx.all(
        "DELETE FROM budget_holds WHERE hold_id = :hold_id"
        " RETURNING session_id, budget_id, amount_msat",
        hold_id=hold_id,
    )
    for row in rows:
        await tx.run(
            "UPDATE budgets SET held_msat = held_msat - :amount, used_msat = used_msat + :used"
            " WHERE session_id = :session_id AND budget_id = :budget_id",
            session_id=row["session_id"],
            budget_id=row["budget_id"],
            amount=row["amount_msat"],
            used=used,
        )
