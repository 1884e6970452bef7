"""Gift wraps: who writes to whom is known to these two only.

A rumor (an event without a signature, of kind 14 for a message) is sealed by its author (kind 13),
and the seal is wrapped under a key that is used once (kind 1059). Both are dated back. Only the
seal proves who speaks: the rumor's author has to be the seal's. Source: NIP-17 and NIP-59.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import orjson

from bots import nip44
from bots.nip01 import Draft, Event, NotAnEvent, Signer, read_draft, read_event

MESSAGE = 14
FILE_MESSAGE = 15
SEAL = 13
WRAP = 1059

_BACK_S = 24 * 3600  # NIP-59 allows two days; a letter that had to wait is then still found


class NotForUs(ValueError):
    """A wrap that does not hold what its kind promises; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class _Chance:
    """All that is random in a wrap."""

    key: bytes  # that the wrap is signed with, once
    seal_nonce: bytes
    wrap_nonce: bytes
    seal_back_s: int
    wrap_back_s: int


def wrap(rumor: Draft, *, author: Signer, receiver: str, seed: bytes) -> Event:
    """The rumor as a gift for `receiver`; a text of up to 30,000 bytes always has room.

    All that is random is drawn from `seed`, a secret of ours: the same rumor for the same receiver
    gives the same wrap, byte for byte, so that what was perhaps sent can be sent again. Another
    rumor gives unrelated keys and nonces. Raises ValueError where it is too long, or no key.
    """
    chance = _draw(rumor, receiver, seed)
    once = Signer(chance.key)
    sealed = nip44.encrypt(
        orjson.dumps(rumor.to_json()).decode(),
        key=author.key_with(receiver),
        nonce=chance.seal_nonce,
    )
    seal = author.draft(SEAL, sealed, created_at=rumor.created_at - chance.seal_back_s)
    wrapped = nip44.encrypt(
        orjson.dumps(author.sign(seal).to_json()).decode(),
        key=nip44.conversation_key(once.secret, receiver),
        nonce=chance.wrap_nonce,
    )
    gift = once.draft(
        WRAP, wrapped, created_at=rumor.created_at - chance.wrap_back_s, tags=[["p", receiver]]
    )
    return once.sign(gift)


def unwrap(gift: Event, reader: Signer) -> Draft:
    """The rumor, whose author is proved. Its kind, receivers and time are for the caller to judge.

    Raises NotForUs. The gift's own signature is not looked at: it proves nothing about anybody.
    """
    if gift.draft.kind != WRAP:
        raise NotForUs("it is no gift wrap")
    try:
        seal = read_event(_open(gift.draft, partial(nip44.conversation_key, reader.secret)))
        if seal.draft.kind != SEAL or not seal.is_genuine:
            raise NotForUs("its seal is none, or broken")
        raw = _open(seal.draft, reader.key_with)
        rumor = read_draft(raw)
    except NotAnEvent as reason:
        raise NotForUs(f"what is inside is no event: {reason}") from None
    if rumor.pubkey != seal.draft.pubkey:
        raise NotForUs("its author is not who sealed it")
    if isinstance(raw, dict) and raw.get("id", rumor.id) != rumor.id:
        raise NotForUs("the rumor's id is not its own")
    return rumor


def _draw(rumor: Draft, receiver: str, seed: bytes) -> _Chance:
    one = hmac.digest(seed, rumor.digest() + bytes.fromhex(receiver), "sha256")
    drawn = hashlib.shake_256(one).digest(112)
    seal_back, wrap_back = (int.from_bytes(part, "big") for part in (drawn[96:104], drawn[104:]))
    return _Chance(
        key=drawn[:32],
        seal_nonce=drawn[32:64],
        wrap_nonce=drawn[64:96],
        seal_back_s=seal_back % _BACK_S,
        wrap_back_s=wrap_back % _BACK_S,
    )


def _open(envelope: Draft, key_with: Callable[[str], bytes]) -> object:
    """The JSON inside."""
    try:
        return orjson.loads(nip44.decrypt(envelope.content, key=key_with(envelope.pubkey)))
    except ValueError as reason:  # no key, nothing to decipher, or no JSON
        raise NotForUs(f"it cannot be opened: {reason}") from None
