"""BOLT11 invoices: read strictly, and write for the wallets that we play ourselves.

A reader believes nothing but the signature: checksum, lengths, padding and required fields are
checked before an invoice is anything to us. Fields that only the paying node needs (`r`, `f`,
`m`) are left to it. Source: lightning/bolts, 11-payment-encoding.md and 09-features.md; BIP-173.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import coincurve
from coincurve import ecdsa

from core.values.money import MSAT_PER_SAT, SATS_MAX, Msat

Network = Literal["mainnet", "testnet", "signet", "regtest"]

LENGTH_MAX = 7089  # what the largest QR code holds; longer ones are nobody's invoice
EXPIRY_DEFAULT_S = 3600
CLTV_DEFAULT_BLOCKS = 18


class Bolt11Error(ValueError):
    """The text is no BOLT11 invoice that may be paid; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Bolt11:
    """What an invoice with a valid signature says. Hashes and keys are lower-case hex."""

    network: Network
    amount: Msat | None  # None: the payer chooses
    created_at_s: int
    expiry_s: int
    payment_hash: str
    payment_secret: str
    description: str | None  # exactly one of the two descriptions is there
    description_hash: str | None
    min_final_cltv_blocks: int
    features: int  # bit n of the number is feature bit n
    payee: str  # the node id that signed

    @property
    def expires_at_ms(self) -> int:
        """The moment from which nobody should pay it any more."""
        return (self.created_at_s + self.expiry_s) * 1000


def decode(text: str) -> Bolt11:
    """The invoice that `text` is, in lower or in upper case, without a `lightning:` before it.

    Raises Bolt11Error for everything else, signature and unknown required features included.
    """
    hrp, words = _bech32_decode(text)
    network, amount = _read_hrp(hrp)
    if len(words) < _TIMESTAMP_WORDS + _SIGNATURE_WORDS:
        raise Bolt11Error("The invoice is too short to hold a time and a signature.")
    signed, signature = words[:-_SIGNATURE_WORDS], words[-_SIGNATURE_WORDS:]
    fields = _first_of_each(signed[_TIMESTAMP_WORDS:])

    if "d" in fields and "h" in fields:
        raise Bolt11Error("The invoice has a description and the hash of another one.")
    if "d" not in fields and "h" not in fields:
        raise Bolt11Error("The invoice has neither a description nor the hash of one.")
    return Bolt11(
        network=network,
        amount=amount,
        created_at_s=_number(signed[:_TIMESTAMP_WORDS]),
        expiry_s=_minimal(fields, "x", EXPIRY_DEFAULT_S),
        payment_hash=_required(fields, "p", "payment hash"),
        payment_secret=_required(fields, "s", "payment secret"),
        description=_text(fields["d"]) if "d" in fields else None,
        description_hash=_octets(fields["h"]).hex() if "h" in fields else None,
        min_final_cltv_blocks=_minimal(fields, "c", CLTV_DEFAULT_BLOCKS),
        features=_features(fields),
        payee=_payee(_message(hrp, signed), _octets(signature), fields.get("n")),
    )


def encode_and_sign(
    secret_key: bytes,
    *,
    network: Network,
    amount: Msat | None,
    created_at_s: int,
    payment_hash: str,
    payment_secret: str,
    description: str | None = None,
    description_hash: str | None = None,
    expiry_s: int = EXPIRY_DEFAULT_S,
    min_final_cltv_blocks: int = CLTV_DEFAULT_BLOCKS,
) -> str:
    """An invoice in lower case, signed with the 32 bytes of `secret_key`.

    Exactly one of `description` and `description_hash` is given. The invoice requires the two
    features that every node has: variable onion and payment secret.
    """
    words = _words(created_at_s, _TIMESTAMP_WORDS)
    words += _field("p", _padded(bytes.fromhex(payment_hash)))
    words += _field("s", _padded(bytes.fromhex(payment_secret)))
    if description is not None:
        words += _field("d", _padded(description.encode()))
    if description_hash is not None:
        words += _field("h", _padded(bytes.fromhex(description_hash)))
    words += _field("x", _shortest(expiry_s))
    words += _field("c", _shortest(min_final_cltv_blocks))
    words += _field("9", _shortest(1 << _VAR_ONION | 1 << _PAYMENT_SECRET))
    text = _seal(_write_hrp(network, amount), words, secret_key)
    decode(text)  # what we would not read ourselves we do not hand out
    return text


# The human-readable part

_NETWORKS: Final[dict[str, Network]] = {
    "bc": "mainnet",
    "tb": "testnet",
    "tbs": "signet",
    "bcrt": "regtest",
}
_CURRENCIES: Final = {network: currency for currency, network in _NETWORKS.items()}
_HRP = re.compile(r"ln(bcrt|bc|tbs|tb)(?:([0-9]+)([a-z]?))?")
# One unit of each multiplier in tenths of a millisatoshi, which is what one pico-bitcoin is.
_TENTHS: Final = {"": 10**12, "m": 10**9, "u": 10**6, "n": 10**3, "p": 1}


def _read_hrp(hrp: str) -> tuple[Network, Msat | None]:
    match = _HRP.fullmatch(hrp)
    if match is None:
        raise Bolt11Error("The invoice does not begin with the prefix of a network known here.")
    currency, digits, multiplier = match.groups()
    if digits is None:
        return _NETWORKS[currency], None
    if multiplier not in _TENTHS:
        raise Bolt11Error("The amount has a multiplier that does not exist.")
    if digits.startswith("0"):
        raise Bolt11Error("The amount is zero or begins with a zero.")
    if len(digits) > _AMOUNT_DIGITS_MAX:
        raise Bolt11Error("The amount is more than there is.")
    amount, rest = divmod(int(digits) * _TENTHS[multiplier], 10)
    if rest:
        raise Bolt11Error("The amount is not a whole number of millisatoshi.")
    if amount > SATS_MAX * MSAT_PER_SAT:
        raise Bolt11Error("The amount is more than there is.")
    return _NETWORKS[currency], Msat(amount)


def _write_hrp(network: Network, amount: Msat | None) -> str:
    prefix = "ln" + _CURRENCIES[network]
    if amount is None:
        return prefix
    for multiplier, tenths in _TENTHS.items():  # from the largest down: the shortest text
        number, rest = divmod(amount * 10, tenths)
        if not rest:
            return f"{prefix}{number}{multiplier}"
    raise AssertionError("an integer is a whole number of pico-bitcoin")


# The tagged fields, in words of five bits

_TIMESTAMP_WORDS = 7
_SIGNATURE_WORDS = 104
_FIELD_WORDS_MAX = 1023
_NUMBER_WORDS_MAX = 7  # 35 bits, as the timestamp has: no expiry is longer than a thousand years
_AMOUNT_DIGITS_MAX = 20

# Fields of one length; another length is another field of the future, which is skipped. The
# text of the specification (2026) says "fail", its example "fields which must be ignored" says
# ignore; older readers ignore, and nothing is lost: required fields are required below.
_FIXED_WORDS: Final = {"p": 52, "h": 52, "s": 52, "n": 53}

_VAR_ONION = 8
_PAYMENT_SECRET = 14
# The even bits that an invoice may require: those marked 9 or ASSUMED in BOLT 9.
_KNOWN_FEATURES: Final = frozenset({0, _VAR_ONION, 12, _PAYMENT_SECRET, 16, 24, 36, 44, 48})


def _first_of_each(words: bytes) -> dict[str, bytes]:
    """The first usable field of each type; the most preferred one comes first."""
    fields: dict[str, bytes] = {}
    for tag, content in _tagged(words):
        if len(content) == _FIXED_WORDS.get(tag, len(content)):
            fields.setdefault(tag, content)
    return fields


def _tagged(words: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(words):
        start = at + 3
        end = start + _number(words[at + 1 : start])
        if start > len(words) or end > len(words):
            raise Bolt11Error("A field of the invoice is cut off.")
        yield _CHARSET[words[at]], words[start:end]
        at = end


def _required(fields: dict[str, bytes], tag: str, name: str) -> str:
    if tag not in fields:
        raise Bolt11Error(f"The invoice has no {name}.")
    return _octets(fields[tag]).hex()


def _minimal(fields: dict[str, bytes], tag: str, default: int) -> int:
    """A number field; one with leading zeros, or beyond all sense, spoils the invoice."""
    if tag not in fields:
        return default
    words = fields[tag]
    if words[:1] == b"\0":
        raise Bolt11Error(f"The number in field {tag} begins with zeros.")
    if len(words) > _NUMBER_WORDS_MAX:
        raise Bolt11Error(f"The number in field {tag} is too large.")
    return _number(words)


def _text(words: bytes) -> str:
    try:
        return _octets(words).decode()
    except UnicodeDecodeError:
        raise Bolt11Error("The description is not UTF-8.") from None


def _features(fields: dict[str, bytes]) -> int:
    words = fields.get("9", b"")
    if words[:1] == b"\0":
        raise Bolt11Error("The number in field 9 begins with zeros.")
    bits = _number(words)
    for bit in range(0, bits.bit_length(), 2):
        if bits >> bit & 1 and bit not in _KNOWN_FEATURES:
            raise Bolt11Error(f"The invoice requires feature {bit}, which is not known here.")
    return bits


def _field(tag: str, words: bytes) -> bytes:
    if len(words) > _FIELD_WORDS_MAX:
        raise Bolt11Error(f"The content of field {tag} does not fit into an invoice.")
    return bytes([_CHARSET.index(tag), *_words(len(words), 2)]) + words


# The signature

_SIGNATURE_BYTES = 65


def _message(hrp: str, words: bytes) -> bytes:
    return hrp.encode() + _padded_octets(words)


def _payee(message: bytes, signature: bytes, named: bytes | None) -> str:
    """The node that signed: the one the invoice names, else the one the signature gives away."""
    try:
        if named is None:
            return coincurve.PublicKey.from_signature_and_message(signature, message).format().hex()
        key = coincurve.PublicKey(_octets(named))
        # libsecp256k1 verifies low-S signatures only, which is the rule where a node is named.
        parsed = ecdsa.recoverable_convert(ecdsa.deserialize_recoverable(signature))
        valid = key.verify(ecdsa.cdata_to_der(parsed), message)
    except Bolt11Error:
        raise
    except ValueError:  # coincurve's one word for a key or signature that is none
        raise Bolt11Error("The signature of the invoice is not valid.") from None
    if not valid:
        raise Bolt11Error("The signature is not that of the node that the invoice names.")
    return key.format().hex()


def _seal(hrp: str, words: bytes, secret_key: bytes) -> str:
    """The invoice text of these words: signed, and with its checksum."""
    signature = coincurve.PrivateKey(secret_key).sign_recoverable(_message(hrp, words))
    assert len(signature) == _SIGNATURE_BYTES
    return _bech32_encode(hrp, words + _padded(signature))


# Bech32 without its limit of 90 characters

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_CHECKSUM_WORDS = 6
_WORD_OF = bytes(_CHARSET.find(chr(octet)) & 0xFF for octet in range(256))  # 255: no such letter
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _bech32_decode(text: str) -> tuple[str, bytes]:
    if len(text) > LENGTH_MAX:
        raise Bolt11Error(f"The invoice is longer than {LENGTH_MAX} characters.")
    lower = text.lower()
    if not text.isascii() or text not in (lower, text.upper()):
        raise Bolt11Error("The invoice mixes upper and lower case, or has foreign characters.")
    hrp, separator, data = lower.rpartition("1")
    words = data.encode().translate(_WORD_OF)
    if not separator or max(words, default=0) >= len(_CHARSET):
        raise Bolt11Error("The text is not in the letters of an invoice (bech32).")
    if len(words) < _CHECKSUM_WORDS or _polymod(_expand(hrp) + words) != 1:
        raise Bolt11Error("The checksum does not match: the invoice was mistyped or cut off.")
    return hrp, words[:-_CHECKSUM_WORDS]


def _bech32_encode(hrp: str, words: bytes) -> str:
    checksum = _polymod(_expand(hrp) + words + bytes(_CHECKSUM_WORDS)) ^ 1
    return hrp + "1" + "".join(_CHARSET[w] for w in words + _words(checksum, _CHECKSUM_WORDS))


def _expand(hrp: str) -> bytes:
    raw = hrp.encode()
    return bytes([*(octet >> 5 for octet in raw), 0, *(octet & 31 for octet in raw)])


def _polymod(words: bytes) -> int:
    checksum = 1
    for word in words:
        checksum = (checksum & 0x1FFFFFF) << 5 ^ word ^ _FEEDBACK[checksum >> 25]
    return checksum


def _feedback(top: int) -> int:
    value = 0
    for bit, generator in enumerate(_GENERATOR):
        value ^= generator if top >> bit & 1 else 0
    return value


_FEEDBACK = tuple(_feedback(top) for top in range(32))


# Words of five bits, and bytes

_DIGIT_OF = bytes(b"0123456789abcdefghijklmnopqrstuv"[value & 31] for value in range(256))


def _number(words: bytes) -> int:
    # int() reads base 32 in linear time; a loop of shifts is quadratic.
    return int(words.translate(_DIGIT_OF), 32) if words else 0


def _words(number: int, count: int) -> bytes:
    assert number >> 5 * count == 0, "a number of ours does not fit, or is negative"
    return bytes(number >> 5 * place & 31 for place in reversed(range(count)))


def _shortest(number: int) -> bytes:
    return _words(number, -(-number.bit_length() // 5))


def _octets(words: bytes) -> bytes:
    """Whole bytes; what is left over must be fewer than five bits, all zero."""
    spare = len(words) * 5 % 8
    number = _number(words)
    if spare >= 5 or number & (1 << spare) - 1:
        raise Bolt11Error("A field of the invoice is padded wrongly.")
    return (number >> spare).to_bytes(len(words) * 5 // 8, "big")


def _padded_octets(words: bytes) -> bytes:
    """All bits, with zeros behind them up to the next whole byte."""
    bits = len(words) * 5
    count = -(-bits // 8)
    return (_number(words) << count * 8 - bits).to_bytes(count, "big")


def _padded(octets: bytes) -> bytes:
    """All bits as words, with zeros behind them up to the next whole word."""
    bits = len(octets) * 8
    count = -(-bits // 5)
    return _words(int.from_bytes(octets, "big") << count * 5 - bits, count)
