"""Paid completions against a proxy that checks and counts nothing: `python -m bench.relay`.

Both have the same upstream; the servers have one core to themselves, the upstream and the callers
the other. Every request is held and charged durably; afterwards the books are audited.
"""

import asyncio
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.figures import Effort, Figure, main
from bench.load import Load, load, post
from bench.servers import Running, boltwork, running
from bench.streams import Streamed, stream
from core.books import ledger
from core.books.audit import audit
from core.store import migrate
from core.store.bulletin import Bulletin
from core.store.port import Tx
from core.store.sqlite import SqliteStore

MODELS = ("mock-d0", "mock-d50", "mock-c512", "mock-c100-i20", "mock-c10-i800", "mock-c8")
GOALS = {16: 0.50, 64: 0.70, 256: 0.75}
SESSIONS = 1_000
SATS = 1_000_000
TEXT = "Summarise this paragraph in two sentences, please."


@dataclass(frozen=True, slots=True)
class Place:
    """A server to ask, and what its requests carry."""

    server: Running
    tokens: Sequence[str] = ("",)

    def asks(self, model: str, **more: object) -> list[bytes]:
        """A request for each token."""
        body = {"model": model, "messages": [{"role": "user", "content": TEXT}], **more}
        raw = json.dumps(body).encode()
        path = "/v1/chat/completions"
        return [post(path, raw, Authorization=f"Bearer {token}") for token in self.tokens]

    async def plain(self, effort: Effort, model: str, callers: int) -> Load:
        """Whole answers for some seconds."""
        return await load(
            self.server.url,
            self.asks(model),
            pid=self.server.pid,
            callers=callers,
            seconds=effort.seconds,
        )

    async def streams(self, model: str, streams: int, times: int = 1) -> Streamed:
        """Streams with their usage."""
        requests = self.asks(model, stream=True, stream_options={"include_usage": True})
        return await stream(
            self.server.url, requests, pid=self.server.pid, streams=streams, times=times
        )


async def measure(effort: Effort) -> list[Figure]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = await stack.enter_async_context(running("-m", "bench.upstream", settings={}))
        proxy = await stack.enter_async_context(
            running("-m", "bench.bare_proxy", settings={"BENCH_UPSTREAM": upstream.url})
        )
        async with boltwork(
            folder,
            BOLTWORK_AGENT__KIND="openai",
            BOLTWORK_AGENT__OPENAI__BASE_URL=f"{upstream.url}/v1",
            BOLTWORK_MODELS=json.dumps([{"id": model} for model in MODELS]),
        ) as product:
            _pin(product.pid, 0)
            _pin(proxy.pid, 0)
            _pin(upstream.pid, 1)
            _pin(os.getpid(), 1)
            tokens = await _tokens(product.url, SESSIONS)
            bare, hot, many = Place(proxy), Place(product, tokens[:1]), Place(product, tokens)
            figures = [
                *await _throughput(effort, bare, hot, many),
                *await _streams(effort, bare, hot),
                *await _own_road(effort, bare, hot),
            ]
        await _check_books(folder)
    return figures


async def _throughput(effort: Effort, bare: Place, hot: Place, many: Place) -> list[Figure]:
    figures = []
    for callers, goal in GOALS.items():
        theirs, ours, all_ours = await _in_turn(effort, (bare, hot, many), "mock-d0", callers)
        figures += [
            _ratio(f"completions, one session : bare, {callers} at once", ours, theirs, goal),
            _ratio(
                f"completions, 1,000 sessions : bare, {callers} at once", all_ours, theirs, goal
            ),
        ]
    alone_theirs, alone = await _in_turn(effort, (bare, hot), "mock-d0", 1)
    theirs, ours = await _in_turn(effort, (bare, hot), "mock-d50", 16)
    return [
        *figures,
        Figure("added p50, one caller", alone.p50_ms - alone_theirs.p50_ms, "ms"),
        Figure(
            "added p50 at 50 ms upstream, 16 at once",
            ours.p50_ms - theirs.p50_ms,
            "ms",
            at_most=2.5,
            detail=f"p99 {ours.p99_ms:.0f} / {theirs.p99_ms:.0f} ms",
        ),
    ]


async def _in_turn(effort: Effort, places: Sequence[Place], model: str, callers: int) -> list[Load]:
    """The medians of these places, measured in turn."""
    found: list[list[Load]] = [[] for _ in places]
    for _ in range(effort.rounds):
        for place, loads in zip(places, found, strict=True):
            loads.append(await place.plain(effort, model, callers))
    return [Load.median_of(loads) for loads in found]


async def _streams(effort: Effort, bare: Place, hot: Place) -> list[Figure]:
    paced = [await _median(effort, place, "mock-c100-i20", streams=100) for place in (bare, hot)]
    full = [await _median(effort, place, "mock-c512", streams=16, times=4) for place in (bare, hot)]
    first = [await _median(effort, place, "mock-c8", streams=1, times=30) for place in (bare, hot)]
    opened = await hot.streams("mock-c10-i800", SESSIONS)
    return [
        Figure(
            "CPU of a relayed chunk, paced : bare",
            paced[1].event_us / paced[0].event_us,
            "x",
            at_most=1.2,
            detail=f"{paced[1].event_us:.1f} / {paced[0].event_us:.1f} us",
        ),
        Figure(
            "chunks a second, unpaced : bare",
            full[1].events_per_s / full[0].events_per_s,
            "x",
            at_least=0.75,
            detail=f"{full[1].events_per_s:,.0f} / {full[0].events_per_s:,.0f}",
        ),
        Figure(
            "added time to the first byte, one stream",
            first[1].first_ms - first[0].first_ms,
            "ms",
            detail=f"{first[1].first_ms:.2f} / {first[0].first_ms:.2f} ms",
        ),
        Figure("memory of 1,000 open streams", opened.grown_mib, "MiB", at_most=30),
    ]


async def _median(
    effort: Effort, place: Place, model: str, *, streams: int, times: int = 1
) -> Streamed:
    found = [await place.streams(model, streams, times) for _ in range(effort.rounds)]
    names = ("events_per_s", "first_ms", "event_us", "grown_mib")
    return Streamed(*(statistics.median(getattr(one, name) for one in found) for name in names))


async def _own_road(effort: Effort, bare: Place, hot: Place) -> list[Figure]:
    """`POST /sessions/me/request`, which the openai SDK carries."""
    request = post(
        "/sessions/me/request",
        json.dumps({"request": TEXT}).encode(),
        Authorization=f"Bearer {hot.tokens[0]}",
    )
    theirs = await bare.plain(effort, "mock-d0", 64)
    ours = await load(
        hot.server.url, request, pid=hot.server.pid, callers=64, seconds=effort.seconds
    )
    return [_ratio("requests over the SDK : bare, 64 at once", ours, theirs, 0.18)]


def _ratio(name: str, ours: Load, theirs: Load, goal: float) -> Figure:
    return Figure(
        name,
        ours.per_s / theirs.per_s,
        "x",
        at_least=goal,
        detail=(
            f"{ours.per_s:,.0f} / {theirs.per_s:,.0f} a second,"
            f" p50 {ours.p50_ms:.1f} / {theirs.p50_ms:.1f} ms,"
            f" CPU {ours.server_us:.0f} / {theirs.server_us:.0f} us"
        ),
    )


async def _tokens(url: str, count: int) -> list[str]:
    """Tokens of so many sessions with a balance each."""
    async with aiohttp.ClientSession(url) as client:

        async def token() -> str:
            async with client.post("/sessions", json={"amountSats": SATS}) as answer:
                opened = await answer.json()
            payment_hash = opened["depositInvoice"]["paymentHash"]
            async with client.post(f"/dev/stub/pay/{payment_hash}") as answer:
                assert answer.status == 200, await answer.text()
            return str(opened["macaroon"])

        return [
            made
            for _ in range(0, count, 50)
            for made in await asyncio.gather(*(token() for _ in range(50)))
        ]


async def _check_books(folder: Path) -> None:
    """Raise AssertionError where the books of the stopped program do not hold."""
    store = await SqliteStore.open(folder / "boltwork.db", migrate.load(), Bulletin(), 0)
    try:
        faults = await store.read(audit)
        assert not faults, faults
        assert not await store.read(_held), "a hold stayed open"
    finally:
        await store.aclose()


async def _held(tx: Tx) -> bool:
    return bool(await ledger.stale_holds(tx, 2**62))


def _pin(pid: int, core: int) -> None:
    """Run a process, all its threads, on one core where there are two."""
    if (os.cpu_count() or 1) > 1:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


if __name__ == "__main__":
    main(measure)
