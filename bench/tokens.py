"""What a token costs on one core, in microseconds: `python -m bench.tokens`.

Goals: a token seen before <= 5 us, a new one with five caveats <= 60 us, and a bad one no dearer
than a good one. Each figure is the median of seven rounds, all kinds taking turns in each round.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import suppress

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

ROUNDS = 7
CALLS = 1500
CAVEATS = (
    "expires_at=4000000000",
    "budget_msat=50000;id=0123456789abcdef",
    "max_request_msat=7000",
    "models=offline,larger",
    "rights=read,spend",
)


def main() -> None:
    figures: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, call in calls().items():
            figures.setdefault(name, []).append(microseconds(call))
    for name, rounds in figures.items():
        print(f"{name:42} {statistics.median(rounds):8.2f} us")


def calls() -> dict[str, Callable[[], object]]:
    keys = TokenKeys(new_token_id())
    identifier = Identifier(payment_hash=new_token_id(), token_id=new_token_id())
    five = mint(keys, identifier, CAVEATS)
    plain_text, five_text, huge = (
        to_bearer(mint(keys, identifier)),
        to_bearer(five),
        "A" * 1_300_000,
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
        "new, 5 caveats": lambda: verify(keys, five_text),
        "refused: one bit of the signature": lambda: refused(cache, forged),
        "refused: a caveat added, old signature": lambda: refused(cache, appended),
        "refused: rubbish of 300 characters": lambda: refused(cache, "rubbish+" * 37 + "abcd"),
        "refused: 1.3 MB": lambda: refused(cache, huge),
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
    main()
