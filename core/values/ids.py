"""Ids: a prefix that names the kind, and 26 Crockford base32 characters of 128 random bits.

Source: Crockford's base32 alphabet (no I, L, O, U). A job id is a capability to read, so it must
not be guessable; every id is drawn from the operating system's random source.
"""

import re
import secrets
from typing import Literal

Kind = Literal["job", "ses", "rfd", "ent", "tok", "lnk"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 26
_SHAPE = re.compile(rf"(job|ses|rfd|ent|tok|lnk)_[{_ALPHABET}]{{{_LENGTH}}}")


def new_id(kind: Kind) -> str:
    """A fresh id of this kind, 128 random bits."""
    return id_from_bytes(kind, secrets.token_bytes(16))


def id_from_bytes(kind: Kind, raw: bytes) -> str:
    """The id that stands for these bytes; the first 16 count."""
    number = int.from_bytes(raw[:16], "big")
    return f"{kind}_" + "".join(
        _ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(_LENGTH))
    )


def is_id(kind: Kind, text: str) -> bool:
    """Whether `text` has the shape of an id of this kind."""
    match = _SHAPE.fullmatch(text)
    return match is not None and match.group(1) == kind
