"""Link codes: 40 random bits that somebody carries from one place to another, K7QF-2M9P.

Read as Crockford's base32 wants it: without regard to case, spaces and hyphens, with O for 0, and
I and L for 1. The books know a code by its keyed hash alone, so that who reads them joins nothing.
"""

import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH: Final = 8
_ALIKE: Final = str.maketrans("OIL", "011")
_SHAPE: Final = re.compile(rf"[{_ALPHABET}]{{{_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class LinkCodes:
    """Knows the codes of one server by their hashes."""

    key: bytes = field(repr=False)

    def hash_of(self, code: str) -> bytes | None:
        """The hash of a code, however it is written; None for what is no code."""
        read = re.sub(r"[\s-]", "", code).upper().translate(_ALIKE)
        if _SHAPE.fullmatch(read) is None:
            return None
        return hmac.digest(self.key, read.encode(), "sha256")


def new_code() -> str:
    """A fresh code, as it is shown."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return f"{code[:4]}-{code[4:]}"


def bare(code: str) -> str:
    """A code without its hyphen, for an address."""
    return code.replace("-", "")
