"""A balance for exactly ten requests, and many more that want it."""

import asyncio
import json
from collections import Counter

from core.store.port import Tx
from core.values.money import MSAT_PER_SAT
from tests.simulator.model import Answer
from tests.v1.market import ASKED, INPUT, OUTPUT, Market, challenged, chat

SATS = 100
REQUESTS, AT_ONCE = 10, 100
OUTPUT_TOKENS = 1000
COST = SATS * MSAT_PER_SAT // REQUESTS


def dear() -> dict[str, object]:
    """The fields of a request that is held at a tenth of the balance, and uses all of that."""
    room = COST - OUTPUT_TOKENS * OUTPUT - len(json.dumps(chat(max_tokens=OUTPUT_TOKENS)))
    message = {"role": "user", "content": ASKED + "." * room}
    return {"messages": [message], "max_tokens": OUTPUT_TOKENS}


async def sell_to_a_crowd(market: Market) -> None:
    """A hundred at once on a balance for ten: at most ten are served, nothing is left behind."""
    fields = dear()
    assert len(json.dumps(chat(**fields))) * INPUT + OUTPUT_TOKENS * OUTPUT == COST
    token = await market.session(SATS)
    market.upstream.script(*[_answer(fields)] * REQUESTS)
    open_before = await _open_invoices(market)

    answers = await asyncio.gather(*(market.ask(token, **fields) for _ in range(AT_ONCE)))

    statuses = Counter(answer.status for answer in answers)
    account = await market.at_rest(token)
    assert 1 <= statuses[200] <= REQUESTS
    assert set(statuses) <= {200, 402, 429}
    assert account["balanceMsat"] == (REQUESTS - statuses[200]) * COST
    assert await _open_invoices(market) - open_before <= 1


async def sell_one_by_one(market: Market) -> None:
    """Exactly ten are served, then the numbers and a way to pay are told."""
    fields = dear()
    token = await market.session(SATS)
    market.upstream.script(*[_answer(fields)] * REQUESTS)

    for left in range(REQUESTS - 1, -1, -1):
        answer = await market.ask(token, **fields)
        assert (answer.status, answer.headers["X-Balance-Msat"]) == (200, str(left * COST))
    refused = await market.ask(token, **fields)

    assert refused.status == 402
    assert refused.json["balanceMsat"] == 0
    assert refused.json["neededMsat"] == COST
    _, invoice = challenged(refused)
    assert invoice.startswith("lnbcrt")
    assert (await market.at_rest(token))["balanceMsat"] == 0


def _answer(fields: dict[str, object]) -> Answer:
    return Answer(usage=(len(json.dumps(chat(**fields))), OUTPUT_TOKENS))


async def _open_invoices(market: Market) -> int:
    return await market.shop.core.store.read(_count_open)


async def _count_open(tx: Tx) -> int:
    row = await tx.one("SELECT COUNT(*) AS n FROM invoices WHERE state = 'open'")
    assert row is not None
    return int(row["n"])
