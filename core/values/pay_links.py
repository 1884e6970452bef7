"""Pay links: the address of the page that shows one invoice, for whoever was given it.

A token is the payment hash and 16 bytes of HMAC-SHA256 over it. The hash needs no hiding, for the
page shows the invoice that carries it, so nothing is encrypted; the 128 bits are what makes an
address that nobody can guess, not even from the invoice. No column keeps tokens and nothing lists
them: an invoice has one address, and an address leads to its invoice without a search.
"""

import base64
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

PayUrl = Callable[[str], str | None]  # from a payment hash

_HASH_BYTES: Final = 32
_MAC_BYTES: Final = 16
_SHAPE: Final = re.compile("[A-Za-z0-9_-]{64}")  # 48 bytes: no padding, one spelling each


@dataclass(frozen=True, slots=True)
class PayLinks:
    """Makes and reads the addresses under one key."""

    key: bytes = field(repr=False)
    public_url: str  # "" where the public has no way to us

    def token_of(self, payment_hash: str) -> str:
        """The token of an invoice, always the same."""
        raw = bytes.fromhex(payment_hash)
        return base64.urlsafe_b64encode(raw + self._mac(raw)).decode()

    def url_of(self, payment_hash: str) -> str | None:
        """The address of an invoice's page, or None where the public has no way to us."""
        if not self.public_url:
            return None
        return f"{self.public_url.rstrip('/')}/pay/{self.token_of(payment_hash)}"

    def hash_of(self, token: str) -> str | None:
        """The payment hash that a token of ours stands for, or None for any other text."""
        if _SHAPE.fullmatch(token) is None:
            return None
        raw = base64.urlsafe_b64decode(token)
        payment_hash, mac = raw[:_HASH_BYTES], raw[_HASH_BYTES:]
        return payment_hash.hex() if hmac.compare_digest(mac, self._mac(payment_hash)) else None

    def _mac(self, payment_hash: bytes) -> bytes:
        return hmac.digest(self.key, payment_hash, "sha256")[:_MAC_BYTES]


def no_pay_url(_payment_hash: str) -> None:
    """The address where there are no pages."""
