"""Nostr events: their ids, their signatures, and what may pass for one.

An id is the SHA-256 of the event as compact JSON, a signature is that of BIP-340. Whatever a relay
sends is a stranger's word until `is_genuine` says so. Source: NIP-01.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import coincurve
import orjson

from bots import nip44

Tags = tuple[tuple[str, ...], ...]

CREATED_AT_MAX = 2**53 - 1  # what JavaScript can count, and most clients are written in it
_SHARED_MAX = 1_000
_HEX_32 = re.compile(r"[0-9a-f]{64}")
_HEX_64 = re.compile(r"[0-9a-f]{128}")


class NotAnEvent(ValueError):
    """It does not have the form of an event; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An event without a signature; in a gift wrap it is called a rumor."""

    pubkey: str
    created_at: int
    kind: int
    tags: Tags
    content: str

    @property
    def id(self) -> str:
        """The id in hex."""
        return self.digest().hex()

    def digest(self) -> bytes:
        """The id."""
        form = [0, self.pubkey, self.created_at, self.kind, self.tags, self.content]
        return hashlib.sha256(orjson.dumps(form)).digest()

    def values_of(self, name: str) -> list[str]:
        """The first value of each tag of this name."""
        return [tag[1] for tag in self.tags if len(tag) > 1 and tag[0] == name]

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return {"id": self.id, **_fields(self)}


@dataclass(frozen=True, slots=True)
class Event:
    """An event as somebody sent it: neither its id nor its signature need be true."""

    id: str
    draft: Draft
    sig: str

    @property
    def is_genuine(self) -> bool:
        """Whether its author signed exactly this."""
        digest = self.draft.digest()
        if digest.hex() != self.id:
            return False
        try:
            author = coincurve.PublicKeyXOnly(bytes.fromhex(self.draft.pubkey))
        except ValueError:  # half of all numbers are no points of the curve
            return False
        return author.verify(bytes.fromhex(self.sig), digest)

    def to_json(self) -> dict[str, Any]:
        """As it goes to a relay."""
        return {"id": self.id, **_fields(self.draft), "sig": self.sig}


class Signer:
    """A secret key, and who that is."""

    def __init__(self, secret: bytes) -> None:
        """`secret` are 32 bytes. Raises ValueError where they are no key."""
        self._key = coincurve.PrivateKey(secret)
        self.secret = secret
        self.pubkey = self._key.public_key_xonly.format().hex()
        self._shared: OrderedDict[str, bytes] = OrderedDict()

    def __repr__(self) -> str:
        return f"Signer({self.pubkey})"

    def draft(
        self, kind: int, content: str, *, created_at: int, tags: Sequence[Sequence[str]] = ()
    ) -> Draft:
        """An event of ours that is not signed."""
        return Draft(self.pubkey, created_at, kind, tuple(map(tuple, tags)), content)

    def key_with(self, pubkey: str) -> bytes:
        """The conversation key with somebody, kept for the next message.

        Raises ValueError where that is no key.
        """
        key = self._shared.get(pubkey)
        if key is None:
            key = self._shared[pubkey] = nip44.conversation_key(self.secret, pubkey)
            if len(self._shared) > _SHARED_MAX:
                self._shared.popitem(last=False)
        return key

    def sign(self, draft: Draft) -> Event:
        """The event; the same again gives the same signature."""
        assert draft.pubkey == self.pubkey, "this is somebody else's to sign"
        digest = draft.digest()
        return Event(digest.hex(), draft, self._key.sign_schnorr(digest, bytes(32)).hex())


def read_draft(raw: object) -> Draft:
    """What JSON writes, whatever id and signature stand beside it. Raises NotAnEvent."""
    if not isinstance(raw, dict):
        raise NotAnEvent("it is no object")
    return Draft(
        _hex(raw, "pubkey", _HEX_32),
        _number(raw, "created_at", CREATED_AT_MAX),
        _number(raw, "kind", 65_535),
        _tags(raw.get("tags")),
        _text(raw, "content"),
    )


def read_event(raw: object) -> Event:
    """What JSON writes; nothing is proved by it. Raises NotAnEvent."""
    if not isinstance(raw, dict):
        raise NotAnEvent("it is no object")
    return Event(_hex(raw, "id", _HEX_32), read_draft(raw), _hex(raw, "sig", _HEX_64))


def is_hex_32(text: str) -> bool:
    """Whether this has the form of a public key, or of an id."""
    return _HEX_32.fullmatch(text) is not None


def _fields(draft: Draft) -> dict[str, Any]:
    return {
        "pubkey": draft.pubkey,
        "created_at": draft.created_at,
        "kind": draft.kind,
        "tags": draft.tags,
        "content": draft.content,
    }


def _hex(raw: dict[Any, Any], name: str, form: re.Pattern[str]) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise NotAnEvent(f"its {name} is not in lower-case hex")
    return value


def _number(raw: dict[Any, Any], name: str, most: int) -> int:
    value = raw.get(name)
    if type(value) is not int or not 0 <= value <= most:  # a bool is an int, too
        raise NotAnEvent(f"its {name} is not a number from 0 to {most}")
    return value


def _text(raw: dict[Any, Any], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str):
        raise NotAnEvent(f"its {name} is not a text")
    return value


def _tags(raw: object) -> Tags:
    if not isinstance(raw, list):
        raise NotAnEvent("its tags are no list")
    for tag in raw:
        if not isinstance(tag, list) or not all(isinstance(value, str) for value in tag):
            raise NotAnEvent("a tag of it is no list of texts")
    return tuple(map(tuple, raw))
