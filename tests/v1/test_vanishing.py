"""Customers who hang up in the middle of a stream: the upstream is let go, they pay so far."""

import asyncio
import json
import random
import time
from dataclasses import dataclass

from tests.simulator.model import Answer, Call
from tests.v1.market import INPUT, MODEL, OUTPUT, OUTPUT_LIMIT, bearer, tokens

CLIENTS = 200
PIECES, PIECE = 25, "twelve bytes"
EVENT_BYTES = 200  # about
LET_GO_S = 2.0


@dataclass(slots=True)
class Vanished:
    """One customer: what it had read when it left, and when that was."""

    name: str
    read: bytes
    left_at: float


async def test_two_hundred_streams_are_dropped_at_random_bytes(open_market):
    market = await open_market(AGENT__OPENAI__TIMEOUT_S="10")
    market.upstream.settings.work = Answer(text=PIECE * PIECES, pieces=PIECES, every_s=0.15)
    token = await market.session()
    dice = random.Random(21)

    gone = await asyncio.gather(
        *(
            _vanish(market.shop.port, token, f"customer-{number}", dice.randrange(10_000))
            for number in range(CLIENTS)
        )
    )

    calls = {call.body["messages"][0]["content"]: call for call in market.upstream.calls}
    for one in gone:
        if one.name in calls:
            call = await calls[one.name].over()
            assert call.began + (call.client_left_after_s or 0) < one.left_at + LET_GO_S
    await market.at_rest(token)
    charges = await _charges(market, token)
    for one in gone:
        assert _is_fair(charges.get(one.name, 0), one, calls.get(one.name)), one
    assert sum(charges.values()) == await market.spent(token)
    assert len(calls) > CLIENTS // 2
    handlers = [task for task in asyncio.all_tasks() if "_handle_request" in repr(task)]
    assert handlers == []


async def _vanish(port: int, token: str, name: str, after_bytes: int) -> Vanished:
    """Ask for a stream, read so many bytes of the answer, and cut the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = {
        "model": MODEL,
        "stream": True,
        "max_tokens": OUTPUT_LIMIT,
        "messages": [{"role": "user", "content": name}],
    }
    raw = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nX-Request-Id: {name}\r\n"
        f"Content-Length: {len(raw)}\r\n\r\n"
    )
    writer.write(head.encode() + raw)
    read = b""
    while len(read) < after_bytes and (data := await reader.read(after_bytes - len(read))):
        read += data
    writer.transport.abort()
    return Vanished(name, read, time.monotonic())


async def _charges(market, token: str) -> dict[str, int]:
    """What each request was charged, by the name that its customer gave it."""
    charges: dict[str, int] = {}
    cursor = ""
    while cursor is not None:
        page = await market.shop.get(
            f"/sessions/me/ledger?limit=100{cursor and '&cursor=' + cursor}", headers=bearer(token)
        )
        for entry in page.json["items"]:
            if entry["kind"] == "charge":
                assert entry["ref"] not in charges, "charged twice"
                charges[entry["ref"]] = -entry["amountMsat"]
        cursor = page.json["nextCursor"]
    return charges


def _is_fair(charge: int, one: Vanished, call: Call | None) -> bool:
    """Whether it pays its input, at least what it has read and at most what was sent for it."""
    if call is None:
        return charge == 0
    asked = tokens(one.name) * INPUT
    read = one.read.decode().count(PIECE)
    least, most = tokens(PIECE * read), tokens(PIECE * min(call.pieces_sent, PIECES))
    return asked + least * OUTPUT <= charge <= asked + most * OUTPUT
