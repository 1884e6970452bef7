"""Keys, gifts and lies for the tests of Nostr."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace

import orjson

from bots import nip44, nip59
from bots.nip01 import Draft, Event, Signer

NOW_S = 1_800_000_000


def person(name: str) -> Signer:
    return Signer(hashlib.sha256(name.encode()).digest())


def rumor(
    author: Signer,
    receiver: Signer,
    text: str,
    *,
    at_s: int = NOW_S,
    kind: int = nip59.MESSAGE,
    tags: Sequence[Sequence[str]] | None = None,
) -> Draft:
    chosen = [["p", receiver.pubkey]] if tags is None else tags
    return author.draft(kind, text, created_at=at_s, tags=chosen)


def gift(message: Draft, author: Signer, receiver: Signer, *, seed: str = "") -> Event:
    """An honest wrap; another seed gives another wrap of the same rumor."""
    return nip59.wrap(message, author=author, receiver=receiver.pubkey, seed=b"s" + seed.encode())


def gift_of(seal: bytes, receiver: Signer, *, kind: int = nip59.WRAP) -> Event:
    """A wrap around whatever is given as its seal."""
    once = person("once")
    payload = closed(seal, once, receiver)
    return once.sign(once.draft(kind, payload, created_at=NOW_S, tags=[["p", receiver.pubkey]]))


def seal_of(
    rumor_json: bytes, author: Signer, receiver: Signer, *, kind: int = nip59.SEAL
) -> Event:
    """A genuine seal around whatever is given as its rumor."""
    return author.sign(author.draft(kind, closed(rumor_json, author, receiver), created_at=NOW_S))


def closed(plain: bytes, author: Signer, receiver: Signer) -> str:
    key = nip44.conversation_key(author.secret, receiver.pubkey)
    return nip44.encrypt(plain.decode(), key=key, nonce=hashlib.sha256(plain).digest())


def dumps(message: Draft | Event) -> bytes:
    return orjson.dumps(message.to_json())


def with_broken_signature(event: Event) -> Event:
    return replace(event, sig=event.sig[:-2] + f"{int(event.sig[-2:], 16) ^ 1:02x}")


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """The same bytes with a few of them changed, cut out, doubled or made up."""
    changed = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.randint(1, 40)]
            case 2:
                changed[at:at] = changed[at : at + chance.randint(1, 40)]
            case _:
                changed[at:at] = chance.choice((b"null", b"-1", b'"', b"1e999", b"[]", b"\\u0000"))
        if not changed:
            return b""
    return bytes(changed)
