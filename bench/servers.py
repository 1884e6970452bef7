"""Processes to be measured: anything that says in one line of JSON where it listens."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
START_S = 30
LOG_BYTES = 2_000
# One client asks for everything here, far more often than one customer may.
UNLIMITED = {
    "BOLTWORK_LIMITS__REQUESTS_PER_MINUTE": "0",
    "BOLTWORK_LIMITS__OPEN_INVOICES_PER_CLIENT": "0",
}


@dataclass(frozen=True, slots=True)
class Running:
    """One process that serves."""

    url: str
    pid: int


@asynccontextmanager
async def boltwork(folder: Path, **variables: str) -> AsyncIterator[Running]:
    """The program on SQLite in this folder, with play money unless `variables` say otherwise."""
    settings = {
        "BOLTWORK_SERVER__DATA_DIR": str(folder),
        "BOLTWORK_SERVER__LISTEN": "127.0.0.1:0",
        "BOLTWORK_OPERATOR__LISTEN": "127.0.0.1:0",
        **UNLIMITED,
        **variables,
    }
    async with running(str(ROOT / "boltwork.py"), "serve", "--json", settings=settings) as server:
        yield server


@asynccontextmanager
async def bare_orders() -> AsyncIterator[Running]:
    """The server of `bench/bare_orders.py`."""
    async with running("-m", "bench.bare_orders", settings={}) as server:
        yield server


@asynccontextmanager
async def running(*arguments: str, settings: Mapping[str, str]) -> AsyncIterator[Running]:
    """Python with these arguments, until the block ends; its log is shown where the block fails."""
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        assert process.stdout is not None
        has_served = False
        try:
            async with asyncio.timeout(START_S):
                hello = await process.stdout.readline()
            yield Running(json.loads(hello)["url"], process.pid)
            has_served = True
        finally:
            process.terminate()
            await process.wait()
            if not has_served:
                log.seek(-min(log.tell(), LOG_BYTES), os.SEEK_END)
                sys.stderr.write(log.read().decode(errors="replace"))


def pin(pid: int, core: int) -> None:
    """Run a process, all its threads, on one core where there are two."""
    if (os.cpu_count() or 1) > 1:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
