"""A program to be killed: writes notes on a store and says each one when it is acknowledged.

usage: acknowledge.py sqlite FILE | postgres DSN
"""

import asyncio
import sys
from itertools import count
from pathlib import Path

import structlog

from core.store.bulletin import Bulletin
from core.store.postgres import PostgresStore
from core.store.sqlite import SqliteStore
from tests.store.till import SCHEMA, note

CALLERS = 32


async def write_for_ever(store: SqliteStore | PostgresStore, first: int) -> None:
    for number in count(first, CALLERS):
        await store.write(note, number, "x" * 200)
        print(number, flush=True)  # noqa: T201 - the acknowledgement


async def main(kind: str, place: str) -> None:
    store: SqliteStore | PostgresStore
    if kind == "sqlite":
        store = await SqliteStore.open(Path(place), SCHEMA, Bulletin(), now_ms=0)
    else:
        store = await PostgresStore.open(place, SCHEMA, Bulletin(), now_ms=0)
    await asyncio.gather(*(write_for_ever(store, first) for first in range(CALLERS)))


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(*sys.argv[1:]))
