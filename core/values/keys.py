"""The server secret and the keys derived from it.

One secret of 32 bytes stands behind everything that this server signs or encrypts; each use has a
key of its own, named by its label. Source: HKDF-SHA256, RFC 5869.
"""

import base64
import binascii
import hmac

SECRET_BYTES = 32


def parse_secret(text: str) -> bytes:
    """The 32 bytes that `text` writes in hex or base64 (standard or URL-safe, padded or not).

    Raises ValueError with a sentence that does not repeat the text.
    """
    try:
        raw = bytes.fromhex(text) if len(text) == 2 * SECRET_BYTES else _from_base64(text)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != SECRET_BYTES:
        raise ValueError("must be 32 bytes in hex (64 digits) or base64 (43 or 44 characters)")
    return raw


def derive(secret: bytes, label: str) -> bytes:
    """The key of 32 bytes for this use of the secret; another label gives an unrelated key."""
    pseudorandom_key = hmac.digest(bytes(SECRET_BYTES), secret, "sha256")
    return hmac.digest(pseudorandom_key, label.encode() + b"\x01", "sha256")


def _from_base64(text: str) -> bytes:
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
