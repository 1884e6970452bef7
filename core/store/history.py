"""Which migrations a database has been through."""

from core.store.port import Tx


async def applied(tx: Tx) -> list[tuple[int, str, str]]:
    """Number, name and hash of each, as `core.store.migrate.check_history` takes them."""
    rows = await tx.all("SELECT number, name, sha256 FROM schema_history ORDER BY number")
    return [(row["number"], row["name"], row["sha256"]) for row in rows]
