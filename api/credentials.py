"""The coats in which one token may come, and the one token that is in them.

`Authorization: Bearer T`, `X-Api-Key: T`, `Authorization: L402 T:PREIMAGE` and the older word
`LSAT`; in the first two, `T:PREIMAGE` as well. Clients send several coats at once (aperture's sends
LSAT and L402), which is fine while all hold the same token. Whether the token holds is the core's
business.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from aiohttp import hdrs
from multidict import MultiMapping

from core.values.errors import Unauthorized

_COAT: Final = re.compile(r"(?:Bearer|L402|LSAT)(?:[ \t]+(.*))?", re.IGNORECASE | re.DOTALL)
_PREIMAGE: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Presented:
    """A token as somebody presents it; nothing of it is verified."""

    token: str = field(repr=False)
    preimage: str | None = field(default=None, repr=False)

    @property
    def preimage_bytes(self) -> bytes | None:
        """The 32 bytes of the preimage."""
        return None if self.preimage is None else bytes.fromhex(self.preimage)


def presented_in(headers: MultiMapping[str]) -> Presented | None:
    """The one token in these headers, None where there is none.

    Raises Unauthorized for two different tokens, two preimages, or a preimage that cannot be one.
    """
    found = [_split(text) for text in _texts(headers) if text]
    if not found:
        return None
    tokens = {_canonical(each.token) for each in found}
    preimages = {each.preimage for each in found if each.preimage is not None}
    if len(tokens) > 1 or len(preimages) > 1:
        raise Unauthorized("The request carries two different credentials.")
    return Presented(found[0].token, next(iter(preimages), None))


def _texts(headers: MultiMapping[str]) -> Iterator[str]:
    for value in headers.getall(hdrs.AUTHORIZATION, []):
        if coat := _COAT.fullmatch(value.strip()):
            yield (coat[1] or "").strip()
    for value in headers.getall("X-Api-Key", []):
        yield value.strip()


def _split(text: str) -> Presented:
    token, colon, preimage = text.partition(":")
    if not colon:
        return Presented(token)
    if not _PREIMAGE.fullmatch(preimage):
        raise Unauthorized("The preimage must be 64 lower-case hex digits.")
    return Presented(token, preimage)


def _canonical(token: str) -> str:
    return token.replace("+", "-").replace("/", "_").rstrip("=")
