"""Closing: the day on which the service ends. Until then nothing new is sold in the chats.

Running work goes on and money goes out; whoever has a balance is told.
"""

from core.books import inbox, people, settings
from core.books.inbox import Event
from core.store.port import Tx

CLOSES_ON = "closes_on"  # the setting that holds the day, as 2027-01-31; empty for none


async def day(tx: Tx) -> str:
    """The day, or "" where the service does not close."""
    return await settings.get(tx, CLOSES_ON) or ""


async def announce(tx: Tx, day: str, now_ms: int) -> None:
    """Close on that day, and tell everybody in a chat who has a balance."""
    await settings.put(tx, CLOSES_ON, day)
    for session_id in await people.with_money(tx):
        key = f"closing:{session_id}:{now_ms}"
        await inbox.tell(tx, session_id, Event("closing", day), key=key, now_ms=now_ms)


async def call_off(tx: Tx) -> None:
    """Do not close."""
    await settings.put(tx, CLOSES_ON, "")
