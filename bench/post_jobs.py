"""`POST /jobs` against a server that only reads and answers: `python -m bench.post_jobs`.

The program runs as customers meet it, in a process of its own, with SQLite and the stub wallet:
every order is an invoice signed and two commits, the wallet's and ours. The servers take turns on
one core, the callers have the other.
"""

import os
import tempfile
from pathlib import Path

from bench.figures import Effort, Figure, main
from bench.load import Load, load, post
from bench.servers import Running, bare_orders, boltwork, pin

CALLERS = (1, 16, 64)
ORDER = post("/jobs", b'{"request": "Sort these names: Zoe, Adam, Mia.", "maxPriceSats": 100}')


async def measure(effort: Effort) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        async with boltwork(Path(folder)) as product, bare_orders() as bound:
            pin(os.getpid(), 1)
            for server in (bound, product):
                pin(server.pid, 0)
            loads: dict[tuple[Running, int], list[Load]] = {}
            for _ in range(effort.rounds):
                for callers in CALLERS:
                    for server in (bound, product):
                        found = await load(
                            server.url,
                            ORDER,
                            pid=server.pid,
                            callers=callers,
                            seconds=effort.seconds,
                            status=201,
                        )
                        loads.setdefault((server, callers), []).append(found)
        ours, theirs = (
            {callers: Load.median_of(loads[server, callers]) for callers in CALLERS}
            for server in (product, bound)
        )
    return [figure(callers, ours[callers], theirs[callers]) for callers in CALLERS]


def figure(callers: int, ours: Load, theirs: Load) -> Figure:
    return Figure(
        f"POST /jobs : bare aiohttp, {callers} at once",
        ours.per_s / theirs.per_s,
        "x",
        detail=(
            f"{ours.per_s:,.0f} / {theirs.per_s:,.0f} a second,"
            f" p50 {ours.p50_ms:.1f} / {theirs.p50_ms:.1f} ms,"
            f" CPU {ours.server_us:.0f} / {theirs.server_us:.0f} us"
        ),
    )


if __name__ == "__main__":
    main(measure)
