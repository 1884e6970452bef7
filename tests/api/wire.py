"""Raw sockets for tests: what no well-behaved HTTP client would ever do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wire:
    """One connection to a server, byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, text: str) -> None:
        """Write and wait until the kernel has it."""
        self.writer.write(text.encode("latin-1"))
        await self.writer.drain()

    async def head(self) -> str:
        """The next answer's head."""
        return (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")

    async def closed(self, within_s: float = 10) -> bytes:
        """What still comes until the server closes; TimeoutError if it does not."""
        try:
            return await asyncio.wait_for(self.reader.read(), within_s)
        except ConnectionResetError:
            return b""


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    """An open connection to this port of the loopback."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
