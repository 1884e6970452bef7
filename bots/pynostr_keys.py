"""pynostr, for what it is good at: Nostr's keys as people write them, and the messages of NIP-04.

The only file that imports it. Everything about wraps, relays and signatures is our own: pynostr
knows no NIP-44, and its relay client neither comes back nor sends in time.
"""

import base64
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from pynostr.key import PrivateKey, PublicKey

from bots.nip01 import Signer, is_hex_32

_BLOCK_BITS = 128


class Illegible(ValueError):
    """It is no message of NIP-04 for us."""


def signer_of(text: str) -> Signer:
    """The secret key that is written as nsec1... or in hex. Raises ValueError without the key."""
    try:
        key = PrivateKey.from_nsec(text) if text.startswith("nsec1") else PrivateKey.from_hex(text)
    except (TypeError, ValueError):  # pynostr decodes a wrong checksum to None
        raise ValueError("not a Nostr secret key") from None
    return Signer(bytes(key))


def pubkey_of(text: str) -> str:
    """In hex, the public key that is written as npub1... or in hex. Raises ValueError."""
    try:
        found = str(PublicKey.from_npub(text).hex() if text.startswith("npub1") else text)
    except TypeError:
        found = ""
    if not is_hex_32(found):
        raise ValueError("not a Nostr public key")
    return found


def npub(pubkey: str) -> str:
    """A public key as people know it."""
    return str(PublicKey.from_hex(pubkey).npub)


def encrypt_nip04(text: str, *, author: Signer, receiver: str, seed: bytes) -> str:
    """The content of a kind 4; the same seed and text give the same again, as pynostr's would not.

    Raises ValueError where the receiver is no key.
    """
    # CBC wants an IV that nobody can foresee: one that depends on a secret and on the text is.
    iv = hmac.digest(seed, text.encode(), "sha256")[:16]
    padder = PKCS7(_BLOCK_BITS).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    secret = PrivateKey(author.secret).compute_shared_secret(receiver)
    encryptor = Cipher(algorithms.AES(secret), modes.CBC(iv)).encryptor()
    hidden = encryptor.update(padded) + encryptor.finalize()
    return f"{base64.b64encode(hidden).decode()}?iv={base64.b64encode(iv).decode()}"


def decrypt_nip04(content: str, *, author: str, reader: Signer) -> str:
    """The text. Raises Illegible; a wrong key is noticed only mostly, for there is no MAC."""
    try:
        return str(PrivateKey(reader.secret).decrypt_message(content, author))
    except (ValueError, IndexError) as reason:  # IndexError: no "?iv="
        raise Illegible(f"it cannot be deciphered: {type(reason).__name__}") from None
