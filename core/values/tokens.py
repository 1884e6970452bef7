"""Tokens: macaroons that name an account and carry their own limits.

A token is a macaroon in the version 2 binary form with the 66 bytes of an L402 identifier:
version 0, payment hash, token id. pymacaroons makes and narrows it. To verify one we read it
strictly, let pymacaroons mint a token with the same identifier and caveats, and compare all bytes.
Its Verifier is not asked: version 0.13.0 skips a caveat that it does not know, so that a forged one
can ride on an old signature, and its reader takes many spellings of one token (measured).

Source: github.com/lightninglabs/L402, macaroon-spec.md; libmacaroons, doc/format.txt.
"""

import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pymacaroons import MACAROON_V2, Macaroon
from pymacaroons.serializers import BinarySerializer

from core.values.caveats import Caveats, read_caveats
from core.values.errors import InvalidRequest, Unauthorized

TEXT_LENGTH_MAX = 4096  # of a token as it is presented
CAVEATS_MAX = 32
JOB_HASH = bytes(32)  # stands where a session has a payment hash, in the tokens of jobs only

BAD_CREDENTIAL = "The credential is not valid."  # the same for every reason: it helps no forger


@dataclass(frozen=True, slots=True)
class Identifier:
    """Who a token is: the hash of the payment that it came with, and its own name, 32 bytes each.

    The only part of a token that says whose it is. Caveats never do: anyone may add them.
    """

    payment_hash: bytes
    token_id: bytes

    def __post_init__(self) -> None:
        assert len(self.payment_hash) == len(self.token_id) == _HASH_BYTES

    def to_bytes(self) -> bytes:
        """The 66 bytes that are signed."""
        return _VERSION + self.payment_hash + self.token_id


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was verified. Whether it has expired or was revoked is asked on every use."""

    identifier: Identifier
    caveats: Caveats
    raw: bytes = field(repr=False)

    @property
    def payment_hash(self) -> bytes:
        """The 32 bytes that say which payment, and so which session, the token belongs to."""
        return self.identifier.payment_hash

    @property
    def token_id(self) -> bytes:
        """The 32 bytes that every copy of the token shares."""
        return self.identifier.token_id


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """Every identifier has a root key of its own, derived from one secret of 32 bytes."""

    root: bytes = field(repr=False)

    def root_key(self, identifier: bytes) -> bytes:
        """The key that signs tokens with this identifier."""
        return hmac.digest(self.root, identifier, "sha256")


def new_token_id() -> bytes:
    """A fresh token id: 32 random bytes."""
    return secrets.token_bytes(_HASH_BYTES)


def mint(keys: TokenKeys, identifier: Identifier, caveats: Iterable[str] = ()) -> bytes:
    """A signed token with these caveats, in their order.

    Raises InvalidRequest for a caveat that is none, and for more than a token may carry.
    """
    raw = _sign(keys, identifier.to_bytes(), read_caveats(caveats).texts)
    _check_size(raw)
    return raw


def attenuate(raw: bytes, caveat: str) -> bytes:
    """The token with one caveat more. Needs no key: every holder can hand on a weaker token.

    The token itself is not verified. Raises Unauthorized for bytes that are no token, and
    InvalidRequest for a caveat that is none or no longer fits.
    """
    read_caveats([caveat])
    _read(raw)
    macaroon = _SERIALIZER.deserialize_raw(raw).add_first_party_caveat(caveat)
    longer = bytes(_SERIALIZER.serialize_raw(macaroon))
    _check_size(longer)
    return longer


def verify(keys: TokenKeys, presented: str) -> Token:
    """The token that `presented` spells in any of its four text forms.

    Raises Unauthorized, always with the same words, for everything that we did not sign or that
    is not spelled as we would.
    """
    raw = from_text(presented)
    signed, texts = _read(raw)
    if not hmac.compare_digest(_sign(keys, signed, texts), raw):
        raise Unauthorized(BAD_CREDENTIAL)
    try:
        caveats = read_caveats(texts)
    except InvalidRequest:
        raise Unauthorized(BAD_CREDENTIAL) from None
    return Token(_identifier(signed), caveats, raw)


class TokenCache:
    """Verifies each distinct text once and remembers the good ones, the last used longest.

    It keeps no limits: expiry, revocation and rights are looked at by the caller on each use.
    Texts are kept as their SHA-256 only.
    """

    def __init__(self, keys: TokenKeys, *, tokens_max: int = 4096) -> None:
        self._keys = keys
        self._tokens_max = tokens_max
        self._tokens: OrderedDict[bytes, Token] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tokens)

    def verify(self, presented: str) -> Token:
        """As the function `verify`."""
        # Header bytes that are not UTF-8 reach us as lone surrogates; they need a hash too.
        key = hashlib.sha256(presented.encode(errors="surrogatepass")).digest()
        token = self._tokens.get(key)
        if token is not None:
            self._tokens.move_to_end(key)
            return token
        token = self._tokens[key] = verify(self._keys, presented)
        if len(self._tokens) > self._tokens_max:
            self._tokens.popitem(last=False)
        return token


# Text forms


def to_bearer(raw: bytes) -> str:
    """The token as we hand it out: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def to_l402(raw: bytes) -> str:
    """The token as it stands in an L402 challenge: standard base64 with padding."""
    return base64.b64encode(raw).decode()


def from_text(presented: str) -> bytes:
    """The bytes behind standard or URL-safe base64, padded or not.

    Raises Unauthorized for what is too long, and for every spelling that no encoder writes.
    """
    if len(presented) > TEXT_LENGTH_MAX:
        raise Unauthorized(BAD_CREDENTIAL)
    standard = presented.replace("-", "+").replace("_", "/")
    try:
        raw = base64.b64decode(standard + "=" * (-len(standard) % 4))
    except ValueError:
        raise Unauthorized(BAD_CREDENTIAL) from None
    # The decoder skips foreign characters and drops stray bits; an encoder never writes any.
    padded = to_l402(raw)
    url_safe = padded.replace("+", "-").replace("/", "_")
    if presented not in (padded, padded.rstrip("="), url_safe, url_safe.rstrip("=")):
        raise Unauthorized(BAD_CREDENTIAL)
    return raw


# The strict reader

_LOCATION = "boltwork"  # unsigned and meaningless, so one value only: no second spelling
_VERSION = bytes(2)
_HASH_BYTES = 32
_IDENTIFIER_BYTES = len(_VERSION) + 2 * _HASH_BYTES

# Each field is: type, length, bytes. A section ends with a zero; an empty one ends the caveats.
_FIELD_LOCATION, _FIELD_IDENTIFIER, _FIELD_SIGNATURE = b"\x01", b"\x02", b"\x06"
_HEAD: Final = (
    bytes([MACAROON_V2])
    + (_FIELD_LOCATION + bytes([len(_LOCATION)]) + _LOCATION.encode())
    + (_FIELD_IDENTIFIER + bytes([_IDENTIFIER_BYTES]) + _VERSION)
)
_TAIL: Final = b"\0" + _FIELD_SIGNATURE + bytes([_HASH_BYTES])
_IDENTIFIER_END = len(_HEAD) + 2 * _HASH_BYTES
_LENGTH_MIN = _IDENTIFIER_END + 1 + len(_TAIL) + _HASH_BYTES


def _read(raw: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Identifier and caveats of a token in the spelling that we write; not yet verified.

    Raises Unauthorized for anything else.
    """
    tail_at = len(raw) - len(_TAIL) - _HASH_BYTES
    if (
        len(raw) < _LENGTH_MIN
        or not raw.startswith(_HEAD)
        or raw[_IDENTIFIER_END] != 0
        or not raw.startswith(_TAIL, tail_at)
    ):
        raise Unauthorized(BAD_CREDENTIAL)
    caveats = []
    at = _IDENTIFIER_END + 1
    while at < tail_at:
        caveat, at = _caveat(raw, at)
        caveats.append(caveat)
    if at != tail_at or len(caveats) > CAVEATS_MAX:
        raise Unauthorized(BAD_CREDENTIAL)
    return raw[_IDENTIFIER_END - _IDENTIFIER_BYTES : _IDENTIFIER_END], tuple(caveats)


def _caveat(raw: bytes, at: int) -> tuple[str, int]:
    """The first-party caveat at `at`, and where the next one begins.

    There are always at least the bytes of the tail behind `at`, so no index is out of range but
    the last, which a slice answers with nothing.
    """
    length, start = raw[at + 1], at + 2
    if length > 0x7F:  # a second byte of seven bits; no token is long enough for a third
        length, start = (length & 0x7F) | raw[start] << 7, start + 1
        if not 0x7F < length <= 0x3FFF:
            raise Unauthorized(BAD_CREDENTIAL)
    end = start + length
    text = raw[start:end]
    if raw[at : at + 1] != _FIELD_IDENTIFIER or raw[end : end + 1] != b"\0" or not text.isascii():
        raise Unauthorized(BAD_CREDENTIAL)
    return text.decode("ascii"), end + 1


def _identifier(signed: bytes) -> Identifier:
    hashes = signed[len(_VERSION) :]
    return Identifier(payment_hash=hashes[:_HASH_BYTES], token_id=hashes[_HASH_BYTES:])


# What pymacaroons writes

_SERIALIZER: Final = BinarySerializer()


def _sign(keys: TokenKeys, signed: bytes, caveats: Iterable[str]) -> bytes:
    """The only token with this identifier and these caveats that is good under these keys."""
    macaroon = Macaroon(
        location=_LOCATION, identifier=signed, key=keys.root_key(signed), version=MACAROON_V2
    )
    for caveat in caveats:
        macaroon.add_first_party_caveat(caveat)
    return bytes(_SERIALIZER.serialize_raw(macaroon))


def _check_size(raw: bytes) -> None:
    """Raise InvalidRequest for a new token that we would not read ourselves."""
    try:
        _read(from_text(to_l402(raw)))
    except Unauthorized:
        raise InvalidRequest(
            f"A token carries at most {CAVEATS_MAX} caveats and {TEXT_LENGTH_MAX} characters."
        ) from None
