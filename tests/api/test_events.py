"""Following a job: every version once, live text between, and a clean end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from api.events import send_changes
from api.server import listen
from core.config_values import Listen
from core.values.clock import SystemClock
from core.values.pay_links import no_pay_url
from tests.api.actors import PacedAgent
from tests.api.conftest import eventually
from tests.api.test_jobs import ABSENT
from tests.api.wire import wire_to


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it came."""

    name: str
    id: int | None
    data: dict[str, object]


async def events(answer: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in answer.content:
        match line.decode().rstrip("\n").split(": ", 1):
            case [""]:
                if fields:
                    number = int(fields["id"]) if "id" in fields else None
                    yield Event(fields["event"], number, json.loads(fields["data"]))
                fields = {}
            case ["", _comment]:
                pass
            case [name, value]:
                fields[name] = value


@asynccontextmanager
async def following(shop, job, **headers):
    url = f"http://127.0.0.1:{shop.port}/jobs/{job['jobId']}/events"
    async with shop.session.get(url, headers=headers) as answer:
        assert answer.status == 200
        yield answer


async def all_of(shop, job, **headers) -> list[Event]:
    async with following(shop, job, **headers) as answer, asyncio.timeout(10):
        return [event async for event in events(answer)]


async def test_a_follower_sees_every_version_until_the_end(shop):
    ordered = await shop.order()
    async with following(shop, ordered) as answer, asyncio.timeout(10):
        seen = []
        async for event in events(answer):
            if event.name == "job":
                seen.append(event)
                if event.data["state"] == "awaiting_eval_payment":
                    await shop.pay(ordered["evalInvoice"])
                if event.data["state"] == "awaiting_work_payment":
                    await shop.pay(event.data["workInvoice"])

    assert [event.id for event in seen] == list(range(seen[0].id, seen[0].id + len(seen)))
    assert [event.id for event in seen] == [event.data["version"] for event in seen]
    assert seen[-1].data["state"] == "complete"
    assert seen[-1].data["result"] == "Adam, Zoe"


async def test_who_comes_back_gets_what_was_missed_and_nothing_twice(shop):
    ordered, job = await shop.quoted()
    await shop.pay(job["workInvoice"])
    await shop.left(ordered, "awaiting_work_payment")
    await shop.left(ordered, "executing")

    everything = await all_of(shop, ordered, **{"Last-Event-ID": "0"})
    rest = await all_of(shop, ordered, **{"Last-Event-ID": "3"})
    nothing = await all_of(shop, ordered, **{"Last-Event-ID": str(everything[-1].id)})

    assert [event.id for event in everything] == list(range(1, everything[-1].id + 1))
    assert rest == everything[3:]
    assert nothing == []


async def test_a_job_that_has_ended_is_told_once_and_the_stream_ends(shop):
    job = await shop.order()
    await shop.post(f"/jobs/{job['jobId']}/cancel", headers={"X-Api-Key": job["jobToken"]})

    [event] = await all_of(shop, job)

    assert event.data["errorCode"] == "cancelled"


async def test_the_work_can_be_watched_while_it_is_done(open_shop):
    agent = PacedAgent()
    shop = await open_shop(agent=agent)
    ordered, job = await shop.quoted()
    async with following(shop, ordered) as answer, asyncio.timeout(10):
        await shop.pay(job["workInvoice"])
        deltas, states = [], []
        async for event in events(answer):
            if event.name == "delta":
                deltas.append(event)
                agent.pieces.put_nowait(["more", None][len(deltas) - 1])
            else:
                states.append(event.data["state"])
                if states[-1] == "executing":
                    agent.pieces.put_nowait("some, ")

    assert [event.data for event in deltas] == [
        {"attempt": deltas[0].data["attempt"], "offset": 0, "text": "some, "},
        {"attempt": deltas[0].data["attempt"], "offset": 6, "text": "more"},
    ]
    assert {event.id for event in deltas} == {None}
    assert states[-1] == "complete"


@pytest.mark.parametrize("last", ["", "x", "-1", "1.0", "1" * 16])
async def test_a_last_event_id_that_cannot_be_ours_is_a_400(shop, last):
    job = await shop.order()

    answer = await shop.get(f"/jobs/{job['jobId']}/events", headers={"Last-Event-ID": last})

    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_an_absent_job_has_no_stream(shop):
    assert (await shop.get(f"/jobs/{ABSENT}/events")).status == 404


async def test_no_proxy_holds_events_back(shop):
    job = await shop.order()

    async with following(shop, job) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_who_hangs_up_is_forgotten(open_shop):
    shop = await open_shop()
    job = await shop.order()
    bulletin = shop.core.desk.jobs.bulletin
    async with following(shop, job) as answer:
        await anext(events(answer))
        assert job["jobId"] in bulletin._listeners
        answer.close()

    async def forgotten() -> bool:
        await shop.post(f"/jobs/{job['jobId']}/invoice", headers={"X-Api-Key": job["jobToken"]})
        return job["jobId"] not in bulletin._listeners

    await eventually(forgotten)


@asynccontextmanager
async def streaming(changes, stopping: asyncio.Event):
    """A server whose only answer is this stream, with hurried keep-alives."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await send_changes(
            request,
            changes,
            clock=SystemClock(),
            pay_url=no_pay_url,
            stopping=stopping,
            keep_alive_s=0.05,
        )

    app = web.Application()
    app.add_routes([web.get("/", handler)])
    server = await listen(app, Listen("127.0.0.1", 0))
    async with wire_to(server.port) as wire:
        await wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        yield wire
    await server.aclose(within_s=1)


async def silence(closed: asyncio.Event):
    try:
        await asyncio.Event().wait()
        yield
    finally:
        closed.set()


async def test_silence_is_filled_with_comments():
    async with streaming(silence(asyncio.Event()), asyncio.Event()) as wire:
        for _ in range(3):
            await asyncio.wait_for(wire.reader.readuntil(b": keep-alive\n\n"), 5)


async def test_a_server_that_stops_ends_its_streams():
    stopping, closed = asyncio.Event(), asyncio.Event()
    async with streaming(silence(closed), stopping) as wire:
        await asyncio.wait_for(wire.reader.readuntil(b": keep-alive\n\n"), 5)

        stopping.set()

        await asyncio.wait_for(wire.reader.readuntil(b"0\r\n\r\n"), 5)
        await asyncio.wait_for(closed.wait(), 5)


async def test_a_client_that_is_gone_frees_the_source():
    closed = asyncio.Event()
    async with streaming(silence(closed), asyncio.Event()) as wire:
        await asyncio.wait_for(wire.reader.readuntil(b": keep-alive\n\n"), 5)
        wire.writer.close()

        await asyncio.wait_for(closed.wait(), 5)
