"""The faults that the simulated LNbits can be told to show, one call at a time."""

import asyncio
import json
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from aiohttp import web

from core.values import bolt11
from tests.simulator.lnbits_books import Books
from tests.simulator.lnbits_routes import Reply

CallName = Literal["create", "pay", "status", "list", "wallet", "fee_reserve", "socket"]
FaultKind = Literal[
    "reset",  # the connection is cut instead of an answer
    "lost_reply",  # the call has its effect, then the connection is cut
    "slow",  # the call is taken up only after `seconds`
    "late",  # the call has its effect, and is answered only after `seconds`
    "429",  # with a Retry-After of `seconds`, if there are any
    "500",
    "html",  # a proxy's page instead of an answer
    "truncated",  # half of the JSON
    "no_status",  # {"paid": false}, as when the node cannot be asked
    "404",
    "swapped_amount",  # four ways to hand out another invoice than was ordered
    "swapped_hash",
    "swapped_network",
    "swapped_expired",
    "said_404",  # these are said of a call that had its effect, whatever that was
    "said_500",
    "said_201_pending",
    "said_201_failed",
    "said_520_success",
    "said_520_pending",
    "said_520_failed",
]

LIMIT_TEXT = '{"error": "Rate limit exceeded: 200 per 1 minute"}'

_INSTEAD: Final[dict[FaultKind, tuple[int, str]]] = {
    "429": (429, LIMIT_TEXT),
    "500": (500, '{"detail": "Unexpected error! ID: k4yvHDCAeS3DshFMM8rscT"}'),
    "html": (502, "<html><h1>502 Bad Gateway</h1></html>"),
    "no_status": (200, '{"paid": false}'),
    "404": (404, '{"detail": "Payment does not exist."}'),
}
_SAID: Final[dict[FaultKind, Reply]] = {
    "said_404": (404, {"detail": "Payment does not exist."}),
    "said_500": (500, {"detail": "Unexpected error! ID: k4yvHDCAeS3DshFMM8rscT"}),
    "said_201_pending": (201, {"status": "pending"}),
    "said_201_failed": (201, {"status": "failed"}),
    "said_520_success": (520, {"detail": "Payment already paid.", "status": "success"}),
    "said_520_pending": (520, {"detail": "Payment is still pending.", "status": "pending"}),
    "said_520_failed": (520, {"detail": "Payment failed: no route", "status": "failed"}),
}


@dataclass(frozen=True)
class Fault:
    kind: FaultKind
    seconds: int = 0


class Script:
    """Which calls to come are to be spoilt, and how."""

    def __init__(self) -> None:
        self._once: defaultdict[CallName, deque[Fault]] = defaultdict(deque)
        self._always: dict[CallName, Fault] = {}

    def add(self, call: CallName, fault: Fault, times: int) -> None:
        self._once[call].extend([fault] * times)

    def add_for_good(self, call: CallName, fault: Fault) -> None:
        self._always[call] = fault

    def add_everywhere(self, fault: Fault) -> None:
        self._always = dict.fromkeys(get_args(CallName), fault)

    def clear(self) -> None:
        self._once.clear()
        self._always.clear()

    def next(self, call: CallName) -> Fault | None:
        return self._once[call].popleft() if self._once[call] else self._always.get(call)


async def answer_instead(request: web.Request, fault: Fault) -> web.Response | None:
    """What comes instead of the call, if the call is not even taken up."""
    if fault.kind == "reset":
        cut(request)
    if fault.kind == "slow":
        await asyncio.sleep(fault.seconds)
    if fault.kind not in _INSTEAD:
        return None
    status, text = _INSTEAD[fault.kind]
    headers = {"Retry-After": str(fault.seconds)} if fault.seconds else None
    return answer(status, text, headers=headers)


async def answer_spoilt(
    request: web.Request, fault: Fault, reply: Reply, books: Books
) -> web.Response:
    """The answer to a call that had its effect."""
    status, body = reply
    if fault.kind == "lost_reply":
        cut(request)
    if fault.kind == "late":
        await asyncio.sleep(fault.seconds)
    if fault.kind in _SAID:
        status, said = _SAID[fault.kind]
        body = {**body, **said} if status == 201 else said
    if fault.kind.startswith("swapped_"):
        body = _swapped(body, fault.kind, books)
    text = json.dumps(body)
    return answer(status, text[: len(text) // 2] if fault.kind == "truncated" else text)


def answer(status: int, text: str, *, headers: dict[str, str] | None = None) -> web.Response:
    kind = "text/html" if text.startswith("<") else "application/json"
    return web.Response(status=status, text=text, content_type=kind, headers=headers)


def cut(request: web.Request) -> None:
    """Cut the connection, and leave the handler."""
    assert request.transport is not None
    request.transport.abort()
    raise web.HTTPServiceUnavailable


def _swapped(made: dict[str, Any], kind: str, books: Books) -> dict[str, Any]:
    """The answer to an order with another invoice in it, which differs in one thing only."""
    sats, network = made["amount"] // 1000, books.network
    expiry_s = bolt11.decode(made["bolt11"]).expiry_s
    match kind:
        case "swapped_amount":
            sats += 1
        case "swapped_network":
            network = "signet" if network != "signet" else "testnet"
        case "swapped_expired":
            expiry_s = 0
        case _:
            return {**made, "payment_hash": "ab" * 32}
    text, _ = books.mint(sats=sats, memo="swapped", expiry_s=expiry_s, network=network)
    payment_hash = bolt11.decode(text).payment_hash
    return {**made, "bolt11": text, "payment_request": text, "payment_hash": payment_hash}
