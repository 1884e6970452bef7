"""Freezes: accounts whose money stands still until the operator has looked.

The reconciler freezes an account that the wallet has paid out more for than the books hold.
"""

from collections.abc import Mapping

from core.store.port import Tx
from core.values.errors import WrongState


async def freeze(tx: Tx, account_id: str, reason: str, now_ms: int) -> None:
    """Let nothing be spent from this account, nor leave it; the first reason stays."""
    await tx.run(
        "INSERT INTO freezes (account_id, reason, at_ms) VALUES (:account_id, :reason, :now_ms)"
        " ON CONFLICT (account_id) DO NOTHING",
        account_id=account_id,
        reason=reason,
        now_ms=now_ms,
    )


async def thaw(tx: Tx, account_id: str) -> bool:
    """Free the account again; False where it was not frozen."""
    gone = await tx.run("DELETE FROM freezes WHERE account_id = :account_id", account_id=account_id)
    return gone == 1


async def check(tx: Tx, account_id: str) -> None:
    """Raise WrongState where this account is frozen."""
    row = await tx.one(
        "SELECT 1 AS one FROM freezes WHERE account_id = :account_id", account_id=account_id
    )
    if row is not None:
        raise WrongState("This account is frozen until the operator has looked at it.")


async def frozen(tx: Tx) -> Mapping[str, str]:
    """All frozen accounts, with the reason of each."""
    rows = await tx.all("SELECT account_id, reason FROM freezes ORDER BY at_ms, account_id")
    return {row["account_id"]: row["reason"] for row in rows}
