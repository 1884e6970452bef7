"""What a token costs on one core, in microseconds: `python -m bench.tokens`.

Goals: a token seen before <= 5 us, a new one with five caveats <= 60 us, and a bad one no dearer
than a good one. All kinds take turns in each round.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import suppress

from api.server import FIELD_BYTES_MAX
from bench.figures import Effort, Figure, main
from core.values.errors import Unauthorized
from core.values.tokens import (
    Identifier,
    TokenCache,
    TokenKeys,
    attenuate,
    mint,
    new_token_id,
    to_bearer,
    verify,
)

CALLS = 500
NEW = "new, 5 caveats"
CAVEATS = (
    "expires_at=4000000000",
    "budget_msat=50000;id=0123456789abcdef",
    "max_request_msat=7000",
    "models=offline,larger",
    "rights=read,spend",
)


async def measure(effort: Effort) -> list[Figure]:
    found: dict[str, list[float]] = {}
    for _ in range(effort.rounds):
        for name, call in calls().items():
            found.setdefault(name, []).append(microseconds(call))
    cost = {name: statistics.median(times) for name, times in found.items()}
    refusal, dearest = max((cost[name], name) for name in cost if name.startswith("refused"))
    return [
        Figure("token seen before, 5 caveats", cost["seen before, 5 caveats"], "us", at_most=5),
        Figure("token seen for the first time, 5 caveats", cost[NEW], "us", at_most=60),
        Figure("bad token : good one", refusal / cost[NEW], "x", at_most=1, detail=dearest),
        Figure("mint a token, 5 caveats", cost["mint, 5 caveats"], "us"),
    ]


def calls() -> dict[str, Callable[[], object]]:
    keys = TokenKeys(new_token_id())
    identifier = Identifier(payment_hash=new_token_id(), token_id=new_token_id())
    five = mint(keys, identifier, CAVEATS)
    plain_text, five_text, huge = (
        to_bearer(mint(keys, identifier)),
        to_bearer(five),
        "A" * FIELD_BYTES_MAX,
    )
    cache = TokenCache(keys)
    forged = to_bearer(five[:-1] + bytes([five[-1] ^ 1]))
    appended = to_bearer(five[:-35] + b"\x02\x0brights=read\0" + five[-35:])
    return {
        "mint, no caveat": lambda: mint(keys, identifier),
        "mint, 5 caveats": lambda: mint(keys, identifier, CAVEATS),
        "attenuate, the 6th caveat": lambda: attenuate(five, "rights=read"),
        "seen before, no caveat": lambda: cache.verify(plain_text),
        "seen before, 5 caveats": lambda: cache.verify(five_text),
        "new, no caveat": lambda: verify(keys, plain_text),
        NEW: lambda: verify(keys, five_text),
        "refused: one bit of the signature": lambda: refused(cache, forged),
        "refused: a caveat added, old signature": lambda: refused(cache, appended),
        "refused: rubbish of 300 characters": lambda: refused(cache, "rubbish+" * 37 + "abcd"),
        "refused: as long as a header may be": lambda: refused(cache, huge),
    }


def refused(cache: TokenCache, text: str) -> None:
    with suppress(Unauthorized):
        cache.verify(text)
        raise AssertionError("a bad token was accepted")


def microseconds(call: Callable[[], object]) -> float:
    call()
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS * 1e6


if __name__ == "__main__":
    main(measure)
