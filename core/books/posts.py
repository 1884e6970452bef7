"""Posts: duties that one process at a time has, such as asking Telegram for updates."""

from core.store.port import Tx


async def take(tx: Tx, name: str, owner: str, *, now_ms: int, until_ms: int) -> bool:
    """Take a post, or keep it; False where another process has it until a later time."""
    changed = await tx.run(
        "INSERT INTO posts (name, owner, until_ms) VALUES (:name, :owner, :until_ms)"
        " ON CONFLICT (name) DO UPDATE SET owner = :owner, until_ms = :until_ms"
        " WHERE posts.owner = :owner OR posts.until_ms <= :now_ms",
        name=name,
        owner=owner,
        now_ms=now_ms,
        until_ms=until_ms,
    )
    return changed == 1


async def leave(tx: Tx, owner: str) -> None:
    """Give up all posts of a process."""
    await tx.run("UPDATE posts SET until_ms = 0 WHERE owner = :owner", owner=owner)


async def leave_others(tx: Tx, owner: str) -> None:
    """At the start of a process that is alone on its database: no other has a post."""
    await tx.run("UPDATE posts SET until_ms = 0 WHERE owner <> :owner", owner=owner)
