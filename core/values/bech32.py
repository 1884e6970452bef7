"""Bech32 without its limit of 90 characters: letters, words of five bits, and bytes.

BOLT11 invoices and LNURL links are bech32 of any length. Words are `bytes` of values 0 to 31.
Source: BIP-173.
"""

import re

LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # the letter of each word

_HRP = re.compile(r"[!-~]+")
_CHECKSUM_WORDS = 6
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


class Bech32Error(ValueError):
    """The text is not bech32; the message says why in one sentence."""


def decode(text: str, *, length_max: int) -> tuple[str, bytes]:
    """The human-readable part in lower case, and the words without their checksum.

    Raises Bech32Error.
    """
    if len(text) > length_max:
        raise Bech32Error(f"The text is longer than {length_max} characters.")
    lower = text.lower()
    if not text.isascii() or text not in (lower, text.upper()):
        raise Bech32Error("The text mixes upper and lower case, or has foreign characters.")
    hrp, separator, letters = lower.rpartition("1")
    words = letters.encode().translate(_WORD_OF)
    if not separator or max(words, default=0) > 31 or not _HRP.fullmatch(hrp):
        raise Bech32Error("The text is not in the letters of bech32.")
    if len(words) < _CHECKSUM_WORDS or _polymod(_expand(hrp) + words) != 1:
        raise Bech32Error("The checksum does not match: the text was mistyped or cut off.")
    return hrp, words[:-_CHECKSUM_WORDS]


def encode(hrp: str, words: bytes) -> str:
    """The text in lower case, checksum included; `hrp` is in lower case."""
    checksum = _polymod(_expand(hrp) + words + bytes(_CHECKSUM_WORDS)) ^ 1
    return hrp + "1" + "".join(LETTERS[w] for w in words + to_words(checksum, _CHECKSUM_WORDS))


def to_number(words: bytes) -> int:
    """The words as one number, the first word the most significant; 0 for no words."""
    # int() reads base 32 in linear time; a loop of shifts is quadratic.
    return int(words.translate(_DIGIT_OF), 32) if words else 0


def to_words(number: int, count: int) -> bytes:
    """A number as so many words, into which it fits."""
    assert number >> 5 * count == 0, "the number does not fit, or is negative"
    return bytes(number >> 5 * place & 31 for place in reversed(range(count)))


def to_octets(words: bytes) -> bytes:
    """The words as whole bytes. What is left over is fewer than five bits, all zero.

    Raises Bech32Error where it is not.
    """
    spare = len(words) * 5 % 8
    number = to_number(words)
    if spare >= 5 or number & (1 << spare) - 1:
        raise Bech32Error("The text, or a field of it, is padded wrongly.")
    return (number >> spare).to_bytes(len(words) * 5 // 8, "big")


def from_octets(octets: bytes) -> bytes:
    """All bits as words, with zeros behind them up to the next whole word."""
    bits = len(octets) * 8
    count = -(-bits // 5)
    return to_words(int.from_bytes(octets, "big") << count * 5 - bits, count)


def _expand(hrp: str) -> bytes:
    raw = hrp.encode()
    return bytes([*(octet >> 5 for octet in raw), 0, *(octet & 31 for octet in raw)])


def _polymod(words: bytes) -> int:
    checksum = 1
    for value in words:
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value ^ _FEEDBACK[checksum >> 25]
    return checksum


def _feedback(top: int) -> int:
    value = 0
    for bit, generator in enumerate(_GENERATOR):
        value ^= generator if top >> bit & 1 else 0
    return value


_FEEDBACK = tuple(_feedback(top) for top in range(32))
_WORD_OF = bytes(LETTERS.find(chr(octet)) & 0xFF for octet in range(256))  # 255: no such letter
_DIGIT_OF = bytes(b"0123456789abcdefghijklmnopqrstuv"[value & 31] for value in range(256))
