"""What private messages on Nostr cost, on one core: `python -m bench.nostr`.

Goals: 3,000 wraps a second and 4,500 unwraps. nostr-sdk, which is written in Rust, does the same
in turns with us. It is one talk: what both sides keep of each other is found the first time. An
unwrap begins with the event as a relay sends it, and checks all signatures.
"""

import hashlib
import itertools
import statistics
import time
from collections.abc import Callable

import nostr_sdk
import orjson

from bench.figures import Effort, Figure, main
from bots import nip59
from bots.nip01 import Draft, Signer, read_event

TEXT = "answer text " * 40  # 480 bytes
SHARE = 5  # so many turns in a round


async def measure(effort: Effort) -> list[Figure]:
    found: dict[str, list[float]] = {}
    turn_s = effort.seconds / SHARE
    for _ in range(effort.rounds * SHARE):
        for name, call in calls().items():
            found.setdefault(name, []).append(per_second(call, turn_s))
    rate = {name: statistics.median(rates) for name, rates in found.items()}
    return [
        Figure(
            f"{done} of 480 bytes",
            rate[done],
            "/s",
            at_least=goal,
            detail=f"nostr-sdk {rate[f'{done} by nostr-sdk']:,.0f} /s",
        )
        for done, goal in (("wraps", 3_000), ("unwraps", 4_500))
    ]


def calls() -> dict[str, Callable[[], object]]:
    alice, bot = (Signer(hashlib.sha256(name).digest()) for name in (b"alice", b"bot"))
    their_alice, their_bot = (nostr_sdk.Keys.parse(who.secret.hex()) for who in (alice, bot))
    seconds = itertools.count(1_800_000_000)

    def rumor() -> Draft:
        return alice.draft(14, TEXT, created_at=next(seconds), tags=[["p", bot.pubkey]])

    def wrap() -> bytes:
        event = nip59.wrap(rumor(), author=alice, receiver=bot.pubkey, seed=alice.secret)
        return orjson.dumps(event.to_json())

    def unwrap() -> Draft:
        event = read_event(orjson.loads(frame))
        assert event.is_genuine
        return nip59.unwrap(event, bot)

    def their_wrap() -> str:
        receiver = their_bot.public_key()
        return nostr_sdk.nip17_make_private_msg(their_alice, receiver, TEXT).as_json()

    def their_unwrap() -> object:
        event = nostr_sdk.Event.from_json(frame.decode())
        assert event.verify()
        return nostr_sdk.UnwrappedGift.from_gift_wrap(their_bot, event)

    frame = wrap()
    return {
        "wraps": wrap,
        "wraps by nostr-sdk": their_wrap,
        "unwraps": unwrap,
        "unwraps by nostr-sdk": their_unwrap,
    }


def per_second(call: Callable[[], object], seconds: float) -> float:
    """In the time of this process, for the machine has other work as well."""
    call()
    count, begin_s = 0, time.process_time()
    while time.process_time() - begin_s < seconds:
        call()
        count += 1
    return count / (time.process_time() - begin_s)


if __name__ == "__main__":
    main(measure)
