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

from core.values import bech32
from core.values.bech32 import Bech32Error, from_octets, to_number, to_octets, to_words
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
    try:
        return _read(text)
    except Bech32Error as fault:
        raise Bolt11Error(str(fault)) from None


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
    words = to_words(created_at_s, _TIMESTAMP_WORDS)
    words += _field("p", from_octets(bytes.fromhex(payment_hash)))
    words += _field("s", from_octets(bytes.fromhex(payment_secret)))
    if description is not None:
        words += _field("d", from_octets(description.encode()))
    if description_hash is not None:
        words += _field("h", from_octets(bytes.fromhex(description_hash)))
    words += _field("x", _shortest(expiry_s))
    words += _field("c", _shortest(min_final_cltv_blocks))
    words += _field("9", _shortest(1 << _VAR_ONION | 1 << _PAYMENT_SECRET))
    text = _seal(_write_hrp(network, amount), words, secret_key)
    decode(text)  # what we would not read ourselves we do not hand out
    return text


def _read(text: str) -> Bolt11:
    hrp, words = bech32.decode(text, length_max=LENGTH_MAX)
    network, amount = _read_hrp(hrp)
    if len(words) < _TIMESTAMP_WORDS + _SIGNATURE_WORDS:
        raise Bolt11Error("The invoice is too short to hold a time and a signature.")
    signed, signature = words[:-_SIGNATURE_WORDS], words[-_SIGNATURE_WORDS:]
    fields = _first_of_each(signed[_TIMESTAMP_WORDS:])
    named = to_octets(fields["n"]) if "n" in fields else None

    if "d" in fields and "h" in fields:
        raise Bolt11Error("The invoice has a description and the hash of another one.")
    if "d" not in fields and "h" not in fields:
        raise Bolt11Error("The invoice has neither a description nor the hash of one.")
    return Bolt11(
        network=network,
        amount=amount,
        created_at_s=to_number(signed[:_TIMESTAMP_WORDS]),
        expiry_s=_minimal(fields, "x", EXPIRY_DEFAULT_S),
        payment_hash=_required(fields, "p", "payment hash"),
        payment_secret=_required(fields, "s", "payment secret"),
        description=_text(fields["d"]) if "d" in fields else None,
        description_hash=to_octets(fields["h"]).hex() if "h" in fields else None,
        min_final_cltv_blocks=_minimal(fields, "c", CLTV_DEFAULT_BLOCKS),
        features=_features(fields),
        payee=_payee(_message(hrp, signed), to_octets(signature), named),
    )


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
        end = start + to_number(words[at + 1 : start])
        if start > len(words) or end > len(words):
            raise Bolt11Error("A field of the invoice is cut off.")
        yield bech32.LETTERS[words[at]], words[start:end]
        at = end


def _required(fields: dict[str, bytes], tag: str, name: str) -> str:
    if tag not in fields:
        raise Bolt11Error(f"The invoice has no {name}.")
    return to_octets(fields[tag]).hex()


def _minimal(fields: dict[str, bytes], tag: str, default: int) -> int:
    """A number field; one with leading zeros, or beyond all sense, spoils the invoice."""
    if tag not in fields:
        return default
    words = fields[tag]
    if words[:1] == b"\0":
        raise Bolt11Error(f"The number in field {tag} begins with zeros.")
    if len(words) > _NUMBER_WORDS_MAX:
        raise Bolt11Error(f"The number in field {tag} is too large.")
    return to_number(words)


def _text(words: bytes) -> str:
    try:
        return to_octets(words).decode()
    except UnicodeDecodeError:
        raise Bolt11Error("The description is not UTF-8.") from None


def _features(fields: dict[str, bytes]) -> int:
    words = fields.get("9", b"")
    if words[:1] == b"\0":
        raise Bolt11Error("The number in field 9 begins with zeros.")
    bits = to_number(words)
    for bit in range(0, bits.bit_length(), 2):
        if bits >> bit & 1 and bit not in _KNOWN_FEATURES:
            raise Bolt11Error(f"The invoice requires feature {bit}, which is not known here.")
    return bits


def _field(tag: str, words: bytes) -> bytes:
    if len(words) > _FIELD_WORDS_MAX:
        raise Bolt11Error(f"The content of field {tag} does not fit into an invoice.")
    return bytes([bech32.LETTERS.index(tag), *to_words(len(words), 2)]) + words


# The signature


def _message(hrp: str, words: bytes) -> bytes:
    """The bytes that are signed: all bits, with zeros behind them up to the next whole byte."""
    bits = len(words) * 5
    count = -(-bits // 8)
    return hrp.encode() + (to_number(words) << count * 8 - bits).to_bytes(count, "big")


def _payee(message: bytes, signature: bytes, named: bytes | None) -> str:
    """The node that signed: the one the invoice names, else the one the signature gives away."""
    try:
        if named is None:
            return coincurve.PublicKey.from_signature_and_message(signature, message).format().hex()
        key = coincurve.PublicKey(named)
        # libsecp256k1 verifies low-S signatures only, which is the rule where a node is named.
        parsed = ecdsa.recoverable_convert(ecdsa.deserialize_recoverable(signature))
        valid = key.verify(ecdsa.cdata_to_der(parsed), message)
    except ValueError:  # coincurve's one word for a key or signature that is none
        raise Bolt11Error("The signature of the invoice is not valid.") from None
    if not valid:
        raise Bolt11Error("The signature is not that of the node that the invoice names.")
    return named.hex()


def _seal(hrp: str, words: bytes, secret_key: bytes) -> str:
    """The invoice text of these words: signed, and with its checksum."""
    signature = coincurve.PrivateKey(secret_key).sign_recoverable(_message(hrp, words))
    return bech32.encode(hrp, words + from_octets(signature))


def _shortest(number: int) -> bytes:
    return to_words(number, -(-number.bit_length() // 5))
