"""Connections that say nothing, half of something, or everything very slowly."""

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from tests.process.server import Program
from tests.process.world import new_request

HEAD = (
    b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n"
)
BODY = HEAD + b"\r\n" + b'{"request": "'

# What a connection sends at once, and then one byte at a time, twice a second.
MANNERS = (
    (b"", b""),
    (HEAD[:40], b""),
    (HEAD, b"X-Slow: " + b"s" * 200),
    (BODY, b""),
    (BODY, b"s" * 200),
)


async def served_beside(program: Program, *, each: int) -> tuple[list[float], list[float]]:
    """Bear `each` connections of every manner until all of them are closed.

    Returns how long orders of an honest customer took meanwhile, sorted, and how long the slow
    connections lived.
    """
    slow = asyncio.gather(*(misbehave(program, *manner) for manner in MANNERS for _ in range(each)))
    served_s = sorted([second async for second in latencies(program, slow)])
    return served_s, await slow


async def misbehave(program: Program, at_once: bytes, drip: bytes) -> float:
    """Connect and be slow until the server closes; how long that took."""
    place = urlsplit(program.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    began_s = time.monotonic()
    writer.write(at_once)
    dripping = asyncio.create_task(_drip(writer, drip))
    try:
        await reader.read()
    except ConnectionError:
        pass
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()
    return time.monotonic() - began_s


async def _drip(writer: asyncio.StreamWriter, drip: bytes) -> None:
    for byte in drip:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.5)


async def latencies(program: Program, until: asyncio.Future[list[float]]) -> AsyncIterator[float]:
    """How long an honest customer's orders take, one after the other."""
    while not until.done():
        began_s = time.monotonic()
        reply = await program.post("/jobs", {"request": new_request()})
        assert reply.status == 201
        yield time.monotonic() - began_s
        await asyncio.sleep(0.05)
