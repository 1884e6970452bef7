"""What the program costs before anybody has come: `python -m bench.process`.

Play money, the offline agent, no bots. Ready is when `/readyz` answers 200; memory is looked at
half a second later. Goals: ready within 1 s, and <= 60 MiB. A bare aiohttp server is looked at in
turn, to tell what the machine is doing.
"""

import asyncio
import re
import statistics
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from bench.figures import Effort, Figure, main
from bench.servers import Running, bare_orders, boltwork

STARTS = 5
LOOK_S = 0.005
IDLE_S = 0.5


async def measure(effort: Effort) -> list[Figure]:
    ours, theirs = [], []
    for _ in range(STARTS if effort.rounds > 1 else 1):
        with tempfile.TemporaryDirectory() as folder:
            ours.append(await start(boltwork(Path(folder)), "/readyz", ready_at=200))
        theirs.append(await start(bare_orders(), "/", ready_at=404))
    (ready_s, memory_mib), (bare_s, bare_mib) = (
        tuple(map(statistics.median, zip(*starts, strict=True))) for starts in (ours, theirs)
    )
    return [
        Figure(
            "start until ready", ready_s, "s", at_most=1.0, detail=f"bare aiohttp {bare_s:.2f} s"
        ),
        Figure(
            "memory when idle",
            memory_mib,
            "MiB",
            at_most=60,
            detail=f"bare aiohttp {bare_mib:.0f} MiB",
        ),
    ]


async def start(
    server: AbstractAsyncContextManager[Running], path: str, *, ready_at: int
) -> tuple[float, float]:
    """Start a server: seconds until `path` is answered as it is to be, MiB when idle."""
    began_s = time.perf_counter()
    async with server as running:
        # Another process has no event to wait for.
        while await asyncio.to_thread(status_of, running.url + path) != ready_at:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        ready_s = time.perf_counter() - began_s
        await asyncio.sleep(IDLE_S)
        return ready_s, memory_mib_of(running.pid)


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def memory_mib_of(pid: int) -> float:
    """The resident memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1)) / 1024


if __name__ == "__main__":
    main(measure)
