"""The faults that the simulated Bot API can be told to show, and what it holds against its bot."""

import asyncio
import json
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

FaultKind = Literal[
    "error",  # a refusal in Telegram's shape, instead of the call
    "html",  # a proxy's page instead of an answer
    "hang",  # taken up only after `seconds`
    "reset",  # the connection is cut instead of the call
    "drop",  # the call has its effect, then the connection is cut
    "late",  # the call has its effect, and is answered only after `seconds`
    "slow",  # the call has its effect, and its answer comes byte by byte over `seconds`
]

CHAT_PER_S = 1.0
CHAT_BURST = 3
BOT_PER_S = 30
GROUP_PER_MINUTE = 20
_JITTER_S = 0.05  # what two clocks and a socket may differ by


@dataclass(frozen=True, slots=True)
class Fault:
    kind: FaultKind
    seconds: float = 0
    code: int = 0
    description: str = ""
    retry_after: int | None = None

    @classmethod
    def of_code(
        cls, code: int, description: str = "", *, retry_after: int | None = None
    ) -> "Fault":
        """The refusal with this code, in Telegram's words unless there are others."""
        if code == 502 and not description:
            return cls("html", code=502)
        if code == 429:
            seconds = 5 if retry_after is None else retry_after
            said = description or f"Too Many Requests: retry after {seconds}"
            return cls("error", code=code, description=said, retry_after=seconds)
        return cls("error", code=code, description=description or _USUAL[code])


_USUAL = {
    400: "Bad Request: can't parse entities: Can't find end of the entity",
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    409: "Conflict: terminated by other getUpdates request; make sure that only one bot instance"
    " is running",
    500: "Internal Server Error",
    502: "Bad Gateway",
}


@dataclass(slots=True)
class Rule:
    """Calls to be spoilt: of this method ("*": any), chat and text, so many times or for good."""

    fault: Fault
    method: str
    chat_id: int | None
    text: str | None
    times: int | None

    def fits(self, method: str, chat_id: int | None, text: str) -> bool:
        return (
            self.times != 0
            and (self.method == "*" or self.method.lower() == method.lower())
            and self.chat_id in (None, chat_id)
            and (self.text is None or self.text in text)
        )


class FaultScript:
    """What is to go wrong."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        self._rules.append(rule)

    def heal(self) -> None:
        self._rules.clear()

    def next(self, method: str, chat_id: int | None, text: str) -> Fault | None:
        """What shall spoil this call; it is used up."""
        for rule in self._rules:
            if rule.fits(method, chat_id, text):
                if rule.times is not None:
                    rule.times -= 1
                return rule.fault
        return None


class Pacing:
    """Counts what the bot gets sent and edited, by arrival; `findings` are its excesses."""

    def __init__(self) -> None:
        self.findings: list[str] = []
        self._tokens: defaultdict[int, float] = defaultdict(lambda: float(CHAT_BURST))
        self._last_s: dict[int, float] = {}
        self._bot: deque[float] = deque()
        self._groups: defaultdict[int, deque[float]] = defaultdict(deque)

    def count(self, method: str, chat_id: int, now_s: float) -> None:
        passed_s = now_s - self._last_s.get(chat_id, now_s)
        self._last_s[chat_id] = now_s
        tokens = min(float(CHAT_BURST), self._tokens[chat_id] + passed_s * CHAT_PER_S) - 1
        self._tokens[chat_id] = max(0.0, tokens)
        if tokens < -_JITTER_S:
            self.findings.append(f"{method}: chat {chat_id} gets more than 1/s (burst 3)")
        if _above(self._bot, now_s, within_s=1 - _JITTER_S, limit=BOT_PER_S):
            self.findings.append(f"{method}: the bot sends more than 30/s")
        if chat_id < 0 and _above(
            self._groups[chat_id], now_s, within_s=60, limit=GROUP_PER_MINUTE
        ):
            self.findings.append(f"{method}: group {chat_id} gets more than 20/min")


def _above(times: deque[float], now_s: float, *, within_s: float, limit: int) -> bool:
    times.append(now_s)
    while times[0] < now_s - within_s:
        times.popleft()
    return len(times) > limit


async def answer_instead(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """What comes instead of the call, if the call is not even taken up."""
    match fault.kind:
        case "error":
            return refusal(fault.code, fault.description, retry_after=fault.retry_after)
        case "html":
            page = "<html><head><title>502 Bad Gateway</title></head></html>"
            return web.Response(status=fault.code or 502, text=page, content_type="text/html")
        case "hang":
            await asyncio.sleep(fault.seconds)
        case "reset":
            cut(request)
    return None


async def answer_spoilt(request: web.Request, fault: Fault, body: bytes) -> web.StreamResponse:
    """The answer to a call that had its effect."""
    match fault.kind:
        case "drop":
            cut(request)
        case "late":
            await asyncio.sleep(fault.seconds)
        case "slow":
            return await _trickle(request, body, fault.seconds)
    return web.Response(body=body, content_type="application/json")


async def _trickle(request: web.Request, body: bytes, seconds: float) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    for at in range(len(body)):
        await response.write(body[at : at + 1])
        await asyncio.sleep(seconds / len(body))
    return response


def refusal(code: int, description: str, *, retry_after: int | None = None) -> web.Response:
    """An error body of Telegram."""
    body: dict[str, object] = {"ok": False, "error_code": code, "description": description}
    if retry_after is not None:
        body["parameters"] = {"retry_after": retry_after}
    return web.Response(status=code, text=json.dumps(body), content_type="application/json")


def cut(request: web.Request) -> None:
    """Cut the connection, and leave the handler."""
    assert request.transport is not None
    request.transport.abort()
    raise web.HTTPServiceUnavailable
