"""NIP-44, version 2: texts that only two keys can read.

Both sides derive one conversation key; each message has keys of its own, derived from it and from
a nonce. The MAC is checked before anything is decrypted. Source: NIP-44 and its published vectors.
"""

import base64
import binascii
import hmac

import coincurve
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

PLAIN_BYTES_MAX = 65_535  # of what is written: older readers know no longer form
PAYLOAD_CHARS_MAX = 256 * 1024  # of what is read; relays take less

_VERSION = b"\x02"
_MAC_BYTES = 32
_PAYLOAD_CHARS_MIN = 132  # version, nonce, MAC, and the 34 bytes of the shortest text
_LONG_FROM = 65_536  # from here on two zero bytes and four of length stand in front


class Undecipherable(ValueError):
    """Nobody wrote this for us, or something happened to it; the message says what is wrong."""


def conversation_key(secret: bytes, pubkey: str) -> bytes:
    """The key that both sides find: one by its secret and the other's public key, and so on.

    Raises ValueError where one of them is no key.
    """
    point = coincurve.PublicKey(b"\x02" + bytes.fromhex(pubkey)).multiply(secret)
    return hmac.digest(b"nip44-v2", point.format()[1:], "sha256")


def encrypt(text: str, *, key: bytes, nonce: bytes) -> str:
    """The payload. A nonce is 32 bytes and serves one text only.

    Raises ValueError where the text is empty or longer than PLAIN_BYTES_MAX.
    """
    plain = text.encode()
    if not 1 <= len(plain) <= PLAIN_BYTES_MAX:
        raise ValueError(f"a text has 1 to {PLAIN_BYTES_MAX} bytes, not {len(plain)}")
    padding = bytes(padded_length(len(plain)) - len(plain))
    cipher_key, cipher_nonce, mac_key = message_keys(key, nonce)
    hidden = _chacha20(cipher_key, cipher_nonce, len(plain).to_bytes(2, "big") + plain + padding)
    mac = hmac.digest(mac_key, nonce + hidden, "sha256")
    return base64.b64encode(_VERSION + nonce + hidden + mac).decode()


def decrypt(payload: str, *, key: bytes) -> str:
    """The text. Raises Undecipherable."""
    raw = _decode(payload)
    nonce, hidden, mac = raw[1:33], raw[33:-_MAC_BYTES], raw[-_MAC_BYTES:]
    cipher_key, cipher_nonce, mac_key = message_keys(key, nonce)
    if not hmac.compare_digest(hmac.digest(mac_key, nonce + hidden, "sha256"), mac):
        raise Undecipherable("invalid MAC")
    plain = _unpad(_chacha20(cipher_key, cipher_nonce, hidden))
    try:
        return plain.decode()
    except UnicodeDecodeError:
        raise Undecipherable("the text is not UTF-8") from None


def message_keys(key: bytes, nonce: bytes) -> tuple[bytes, bytes, bytes]:
    """The keys of one message: of the cipher, its nonce, and of the MAC (HKDF-expand)."""
    first = hmac.digest(key, nonce + b"\x01", "sha256")
    second = hmac.digest(key, first + nonce + b"\x02", "sha256")
    third = hmac.digest(key, second + nonce + b"\x03", "sha256")
    return first, second[:12], second[12:] + third[:12]


def padded_length(length: int) -> int:
    """How long a text of so many bytes is made, so that its own length stays hidden."""
    if length <= 32:
        return 32
    next_power = 1 << (length - 1).bit_length()
    chunk = 32 if next_power <= 256 else next_power // 8
    return chunk * ((length - 1) // chunk + 1)


def _decode(payload: str) -> bytes:
    if payload.startswith("#"):
        raise Undecipherable("unknown encryption version")  # how NIP-44 marks later ones
    if not _PAYLOAD_CHARS_MIN <= len(payload) <= PAYLOAD_CHARS_MAX:
        raise Undecipherable("invalid payload length")
    try:
        raw = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        raise Undecipherable("invalid base64") from None
    if raw[:1] != _VERSION:
        raise Undecipherable("unknown encryption version")
    if len(raw) < 99:
        raise Undecipherable("invalid payload length")
    return raw


def _unpad(padded: bytes) -> bytes:
    head, length = 2, int.from_bytes(padded[:2], "big")
    if length == 0:
        head, length = 6, int.from_bytes(padded[2:6], "big")
        if length < _LONG_FROM:
            raise Undecipherable("invalid padding")
    plain = padded[head : head + length]
    if len(padded) != head + padded_length(length) or any(padded[head + length :]):
        raise Undecipherable("invalid padding")
    return plain


def _chacha20(key: bytes, nonce: bytes, text: bytes) -> bytes:
    # The library wants the counter, which begins at 0, in front of the nonce.
    return Cipher(algorithms.ChaCha20(key, bytes(4) + nonce), None).encryptor().update(text)
