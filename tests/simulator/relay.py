"""A Nostr relay on loopback that misbehaves as it is told, with a journal.

    async with FaultRelay() as relay:
        relay.verdict = lambda event: (False, "blocked: not here")
        await relay.drop()

Signatures are checked by nostr-sdk, so that our own code does not vouch for itself. Source:
NIP-01, NIP-42.
"""

import asyncio
import json
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import nostr_sdk
from aiohttp import WSCloseCode, WSMsgType, web

Json = dict[str, Any]
Verdict = tuple[bool, str]
PATIENCE_S = 60.0  # for machines with other work


@dataclass(eq=False)
class Connection:
    socket: web.WebSocketResponse
    challenge: str
    filters: dict[str, Json] = field(default_factory=dict)
    pubkeys: set[str] = field(default_factory=set)

    async def send(self, *frame: Any) -> None:
        if not self.socket.closed:
            try:
                await self.socket.send_str(json.dumps(frame))
            except ConnectionError:
                return


class FaultRelay:
    """Every public attribute without a method is a switch, or what was seen."""

    def __init__(self) -> None:
        self.events: list[Json] = []  # as they came
        self.offered: list[Json] = []  # whatever was answered
        self.visits = 0
        self.people: set[str] = set()  # who proved who they are
        self.needs_auth_to_read = False
        self.needs_auth_to_write = False
        self.challenges_late_s: float | None = None  # None: at once
        self.verdict: Callable[[Json], Verdict | None] = lambda _event: (True, "")
        self.keeps_events = True
        self.sends_eose = True
        self.answers_pings = True
        self.copies = 1
        self.most = 5_000  # stored events for one request
        self.shuffles = False
        self.greetings: list[str] = []  # raw frames for whoever comes
        self._connections: set[Connection] = set()
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, at the same place as before."""
        app = web.Application()
        app.router.add_get("/", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self.drop()
            await self._runner.cleanup()
            self._runner = None

    async def drop(self) -> None:
        """Reset all connections."""
        for connection in list(self._connections):
            transport = connection.socket._req.transport if connection.socket._req else None
            if transport is not None:
                transport.abort()

    async def close_cleanly(self) -> None:
        for connection in list(self._connections):
            await connection.socket.close(code=WSCloseCode.GOING_AWAY)

    async def close_subscriptions(self, reason: str) -> None:
        for connection in list(self._connections):
            for name in list(connection.filters):
                del connection.filters[name]
                await connection.send("CLOSED", name, reason)

    async def say(self, raw: str) -> None:
        """Send a raw frame to everybody."""
        for connection in list(self._connections):
            await connection.socket.send_str(raw)

    async def push(self, event: Json) -> None:
        """An event from somebody who is not connected to us."""
        self.events.append(event)
        await self._spread(event)
        await self._notice()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until this holds of what was seen."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(holds)

    def of(self, *, kind: int, receiver: str | None = None) -> list[Json]:
        """The stored events of this kind, and for somebody."""
        wanted = {"kinds": [kind], **({"#p": [receiver]} if receiver else {})}
        return [event for event in self.events if _fits(event, wanted)]

    @property
    def is_up(self) -> bool:
        return self._runner is not None

    @property
    def listeners(self) -> int:
        """How many subscriptions stand."""
        return sum(len(connection.filters) for connection in self._connections)

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False, max_msg_size=0)
        await socket.prepare(request)
        connection = Connection(socket, secrets.token_hex(8))
        self._connections.add(connection)
        self.visits += 1
        await self._notice()
        late = asyncio.create_task(self._challenge(connection))
        try:
            for greeting in self.greetings:
                await socket.send_str(greeting)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._answer(connection, json.loads(message.data))
                elif message.type is WSMsgType.PING and self.answers_pings:
                    await socket.pong(message.data)
        finally:
            late.cancel()
            self._connections.discard(connection)
            await self._notice()
        return socket

    async def _challenge(self, connection: Connection) -> None:
        if self.needs_auth_to_read or self.needs_auth_to_write:
            await asyncio.sleep(self.challenges_late_s or 0)
            await connection.send("AUTH", connection.challenge)

    async def _answer(self, connection: Connection, frame: list[Any]) -> None:
        match frame:
            case ["REQ", str(name), _] if self.needs_auth_to_read and not connection.pubkeys:
                await connection.send("CLOSED", name, "auth-required: who are you?")
            case ["REQ", str(name), dict(wanted)]:
                await self._subscribe(connection, name, wanted)
            case ["CLOSE", str(name)]:
                connection.filters.pop(name, None)
            case ["AUTH", dict(event)]:
                await self._recognise(connection, event)
            case ["EVENT", dict(event)]:
                await self._store(connection, event)
            case _:
                await connection.send("NOTICE", "error: not understood")
        await self._notice()

    async def _subscribe(self, connection: Connection, name: str, wanted: Json) -> None:
        connection.filters[name] = wanted
        found = [event for event in self.events if _fits(event, wanted)]
        found.sort(key=lambda event: -event["created_at"])
        found = found[: min(wanted.get("limit", self.most), self.most)] * self.copies
        if self.shuffles:
            random.Random(1).shuffle(found)
        for event in found:
            await connection.send("EVENT", name, event)
        if self.sends_eose:
            await connection.send("EOSE", name)

    async def _recognise(self, connection: Connection, event: Json) -> None:
        tags = {tag[0]: tag[1] for tag in event["tags"]}
        is_right = (
            _is_genuine(event)
            and event["kind"] == 22242
            and tags.get("challenge") == connection.challenge
            and tags.get("relay", "").rstrip("/") == self.url
        )
        if is_right:
            connection.pubkeys.add(event["pubkey"])
            self.people.add(event["pubkey"])
        await connection.send("OK", event["id"], is_right, "" if is_right else "invalid: no")

    async def _store(self, connection: Connection, event: Json) -> None:
        self.offered.append(event)
        verdict = self.verdict(event)
        if self.needs_auth_to_write and not connection.pubkeys:
            verdict = (False, "auth-required: who are you?")
        elif not _is_genuine(event):
            verdict = (False, "invalid: bad signature")
        elif event["id"] in {known["id"] for known in self.events}:
            verdict = (True, "duplicate: have it")
        elif verdict is not None and verdict[0] and self.keeps_events:
            self.events.append(event)
            await self._spread(event)
        if verdict is not None:
            await connection.send("OK", event["id"], *verdict)

    async def _spread(self, event: Json) -> None:
        for connection in list(self._connections):
            for name, wanted in list(connection.filters.items()):
                if _fits(event, wanted):
                    await connection.send("EVENT", name, event)

    async def _notice(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _fits(event: Json, wanted: Json) -> bool:
    tagged = {
        name[1:]: {tag[1] for tag in event["tags"] if tag[0] == name[1:]}
        for name in wanted
        if name.startswith("#")
    }
    return (
        event["kind"] in wanted.get("kinds", [event["kind"]])
        and event["pubkey"] in wanted.get("authors", [event["pubkey"]])
        and event["id"] in wanted.get("ids", [event["id"]])
        and wanted.get("since", 0) <= event["created_at"] <= wanted.get("until", 2**53)
        and all(values & set(wanted[f"#{name}"]) for name, values in tagged.items())
    )


def _is_genuine(event: Json) -> bool:
    return nostr_sdk.Event.from_json(json.dumps(event)).verify()
