"""The header Idempotency-Key, and what makes two requests the same.

Source: draft-ietf-httpapi-idempotency-key-header; the value is an RFC 8941 string, and because
many clients send it bare, a bare one is read too.
"""

import hashlib
import re
from typing import Final

from multidict import MultiMapping

from core.values.errors import InvalidRequest

# Without a credential the address is the only other thing that tells customers apart.
KEY_LENGTH_MIN_ANONYMOUS: Final = 16

_KEY: Final = re.compile(r"[!-~]{1,255}")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPED: Final = re.compile(r'\\(["\\])')


def key_in(headers: MultiMapping[str], *, length_min: int) -> str | None:
    """The key of this request, None where it has none. Raises InvalidRequest."""
    values = headers.getall("Idempotency-Key", [])
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest("Idempotency-Key stands more than once.")
    key = _unquoted(values[0].strip())
    if _KEY.fullmatch(key) is None:
        raise InvalidRequest("Idempotency-Key must be 1 to 255 visible ASCII characters.")
    if len(key) < length_min:
        raise InvalidRequest(
            f"Without a credential, Idempotency-Key needs at least {length_min} characters."
        )
    return key


def fingerprint(method: str, path: str, body: bytes) -> bytes:
    """What two requests under one key must share."""
    head = f"{method} {path}\n".encode()  # no path holds a line break, so no two heads are alike
    return hashlib.sha256(head + body).digest()


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    quoted = _QUOTED.fullmatch(value)
    return "" if quoted is None else _ESCAPED.sub(r"\1", quoted[1])
