"""Sealing: what the database keeps but must not be able to read.

AES-256-GCM with a key derived from the server secret; the place where a text is kept is bound to
it, so that it opens nowhere else.
"""

import os
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Seal:
    """Seals and opens under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def close(self, plain: bytes, place: bytes) -> bytes:
        """Seal `plain` for this place."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """What was sealed for this place. Raises `cryptography.exceptions.InvalidTag`."""
        return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place)

    @cached_property
    def _cipher(self) -> "AESGCM":
        # Not at the top: it takes 6 MiB and 10 ms, and nothing is sealed until a key is sent.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        return AESGCM(self._key)
