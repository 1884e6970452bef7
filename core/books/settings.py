"""Settings: single values that the database itself must remember."""

from core.store.port import Tx


async def get(tx: Tx, name: str) -> str | None:
    """The value under a name, or None."""
    row = await tx.one("SELECT value FROM settings WHERE name = :name", name=name)
    return None if row is None else str(row["value"])


async def put(tx: Tx, name: str, value: str) -> None:
    """Remember a value."""
    await tx.run(
        "INSERT INTO settings (name, value) VALUES (:name, :value)"
        " ON CONFLICT (name) DO UPDATE SET value = :value",
        name=name,
        value=value,
    )


async def remember_or_compare(tx: Tx, name: str, value: str) -> bool:
    """Remember a value the first time; later say whether it is still the same."""
    known = await get(tx, name)
    if known is None:
        await put(tx, name, value)
        return True
    return known == value
