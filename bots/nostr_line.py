"""One connection to a relay, for as long as it lasts.

What a relay says is data: whatever is not understood is passed over, and a no is an answer. Where
the relay wants to know who asks (NIP-42), it is told, and everything is asked again. Source:
NIP-01, NIP-42.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from bots.nip01 import Event, Signer
from core.values.clock import Clock

FRAME_BYTES_MAX = 16 * 2**20  # a longer one ends the connection, so no honest one may reach it
_READ_CHARS_MAX = 512 * 1024  # what is longer is no message for us; it is passed over
_BREATH = 20  # frames, after which others have their turn
_ENDS = {
    aiohttp.WSMsgType.CLOSE,
    aiohttp.WSMsgType.CLOSING,
    aiohttp.WSMsgType.CLOSED,
    aiohttp.WSMsgType.ERROR,
}
_AUTH = 22_242
_WANTS_AUTH = "auth-required:"

Json = dict[str, Any]
Take = Callable[[Json], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Taken:
    """The relay has the event."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The relay does not want the event, for the reason that it gives: `prefix: words`."""

    reason: str

    @property
    def is_passing(self) -> bool:
        """Whether the same may be taken later."""
        return self.reason.startswith(("rate-limited:", "error:"))


@dataclass(frozen=True, slots=True)
class Unheard:
    """The relay gave no answer."""

    reason: str


Verdict = Taken | Refused | Unheard


@dataclass(frozen=True, slots=True)
class _Question:
    """Something that is asked for once: what was found, and whether that is all."""

    found: list[Json]
    is_over: asyncio.Event


@dataclass(slots=True)
class _Standing:
    """A subscription. `stored` is set once all that the relay had is through."""

    wanted: Json
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    oldest_s: int | None = None  # of what was stored
    is_refused: bool = False


class Line:
    """Read by one task with `read`, used by any number."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        *,
        url: str,
        signer: Signer,
        clock: Clock,
        answer_s: float,
    ) -> None:
        """`answer_s` is how long an answer is waited for."""
        self._socket = socket
        self._url = url
        self._signer = signer
        self._clock = clock
        self._answer_s = answer_s
        self._offers: dict[str, asyncio.Future[Verdict]] = {}
        self._questions: dict[str, _Question] = {}
        self._standing: dict[str, _Standing] = {}
        self._authenticated = asyncio.Event()
        self._auth_ids: set[str] = set()
        self._numbers = itertools.count(1)
        self._last_word = "the relay hung up"

    @property
    def is_deaf(self) -> bool:
        """Whether the relay has refused to tell us of our mail."""
        return any(standing.is_refused for standing in self._standing.values())

    async def read(self, take: Take) -> str:
        """Take in what comes until the connection ends; return why it did."""
        try:
            for number in itertools.count(1):
                message = await self._socket.receive()
                if message.type in _ENDS:
                    break
                if message.type is aiohttp.WSMsgType.TEXT and len(message.data) <= _READ_CHARS_MAX:
                    await self._hear(message.data, take)
                if number % _BREATH == 0:
                    await asyncio.sleep(0)  # `receive` does not wait while there is something
        except (aiohttp.ClientError, ConnectionError) as fault:
            self._last_word = type(fault).__name__
        finally:
            self._hang_up()
        return self._last_word

    async def subscribe(self, name: str, wanted: Json) -> int | None:
        """Have all events of this kind taken, those that are stored and those to come.

        Returns once the stored ones came, or the relay has had its time: the date of the oldest.
        """
        standing = self._standing[name] = _Standing(wanted)
        await self._send(["REQ", name, wanted])
        await _within(self._answer_s, standing.stored)
        return standing.oldest_s

    async def ask(self, wanted: Json) -> list[Json]:
        """What the relay has of this kind, as far as it comes in time."""
        name = f"ask{next(self._numbers)}"
        question = self._questions[name] = _Question([], asyncio.Event())
        try:
            await self._send(["REQ", name, wanted])
            await _within(self._answer_s, question.is_over)
            await self._send(["CLOSE", name])
        finally:
            del self._questions[name]
        return question.found

    async def publish(self, event: Event) -> Verdict:
        """Offer an event; once more where the relay first wants to know who we are."""
        verdict = await self._offer(event)
        if isinstance(verdict, Refused) and verdict.reason.startswith(_WANTS_AUTH):
            await _within(self._answer_s, self._authenticated)
            verdict = await self._offer(event)
        return verdict

    async def close(self) -> None:
        """End it; `read` returns."""
        await self._socket.close()

    async def _offer(self, event: Event) -> Verdict:
        waiting = self._offers.get(event.id)
        if waiting is None:
            waiting = self._offers[event.id] = asyncio.get_running_loop().create_future()
            waiting.add_done_callback(lambda _: self._offers.pop(event.id, None))
            await self._send(["EVENT", event.to_json()])
        try:
            async with asyncio.timeout(self._answer_s):
                return await asyncio.shield(waiting)
        except TimeoutError:
            if not waiting.done():
                waiting.set_result(Unheard("the relay does not answer"))
            return waiting.result()

    async def _send(self, frame: list[Any]) -> None:
        try:
            async with asyncio.timeout(self._answer_s):
                await self._socket.send_str(orjson.dumps(frame).decode())
        except (TimeoutError, aiohttp.ClientError, ConnectionError):
            self._hang_up()  # whoever waits for an answer has it now; `read` ends by itself

    def _hang_up(self) -> None:
        for waiting in list(self._offers.values()):
            if not waiting.done():
                waiting.set_result(Unheard("the connection broke"))
        for question in self._questions.values():
            question.is_over.set()
        for standing in self._standing.values():
            standing.stored.set()

    async def _hear(self, text: str, take: Take) -> None:
        try:
            frame = orjson.loads(text)
        except orjson.JSONDecodeError:
            return
        match frame:
            case ["EVENT", str(name), dict(event)]:
                if name in self._standing:
                    self._note_age(self._standing[name], event)
                    await take(event)
                elif name in self._questions:
                    self._questions[name].found.append(event)
            case ["EOSE", str(name), *_]:
                self._note_end(name)
            case ["OK", str(event_id), bool(is_taken), *words]:
                await self._note_answer(event_id, Taken() if is_taken else Refused(_said(words)))
            case ["CLOSED", str(name), *words]:
                self._note_refusal(name, _said(words))
            case ["AUTH", str(challenge), *_]:
                await self._authenticate(challenge)
            case ["NOTICE", *words]:
                self._last_word = f"the relay hung up and said: {_said(words)}"
            case _:
                pass  # COUNT, and whatever comes after these

    def _note_age(self, standing: _Standing, event: Json) -> None:
        at_s = event.get("created_at")
        if isinstance(at_s, int) and not standing.stored.is_set():
            standing.oldest_s = min(at_s, standing.oldest_s or at_s)

    def _note_end(self, name: str) -> None:
        if name in self._standing:
            self._standing[name].stored.set()
        elif name in self._questions:
            self._questions[name].is_over.set()

    async def _note_answer(self, event_id: str, verdict: Verdict) -> None:
        if event_id in self._auth_ids and verdict == Taken():
            self._authenticated.set()
            # A relay may have sent nothing to a stranger, and not said so.
            for name, standing in list(self._standing.items()):
                standing.is_refused = False
                await self._send(["REQ", name, standing.wanted])
        waiting = self._offers.get(event_id)
        if waiting is not None and not waiting.done():
            is_known = isinstance(verdict, Refused) and verdict.reason.startswith("duplicate:")
            waiting.set_result(Taken() if is_known else verdict)

    def _note_refusal(self, name: str, reason: str) -> None:
        if name in self._standing:
            self._standing[name].is_refused = True
            self._last_word = f"the relay closed our subscription and said: {reason}"
            if not reason.startswith(_WANTS_AUTH):
                self._standing[name].stored.set()
        elif name in self._questions:
            self._questions[name].is_over.set()

    async def _authenticate(self, challenge: str) -> None:
        tags = [["relay", self._url], ["challenge", challenge]]
        now_s = self._clock.now_ms() // 1000
        event = self._signer.sign(self._signer.draft(_AUTH, "", created_at=now_s, tags=tags))
        self._auth_ids.add(event.id)
        await self._send(["AUTH", event.to_json()])


def _said(words: list[Any]) -> str:
    """A relay's own words, shortened."""
    return words[0][:200] if words and isinstance(words[0], str) else ""


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for this, but no longer."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
