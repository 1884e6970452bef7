import base64
import hashlib
import hmac
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymacaroons import MACAROON_V1, MACAROON_V2, Macaroon, Verifier
from pymacaroons.serializers import BinarySerializer

from core.values.caveats import RIGHTS
from core.values.errors import InvalidRequest, Unauthorized
from core.values.tokens import (
    BAD_CREDENTIAL,
    CAVEATS_MAX,
    JOB_HASH,
    TEXT_LENGTH_MAX,
    Identifier,
    TokenCache,
    TokenKeys,
    attenuate,
    from_text,
    mint,
    new_token_id,
    to_bearer,
    to_l402,
    verify,
)

KEYS = TokenKeys(bytes(range(32)))
OTHER_KEYS = TokenKeys(bytes(range(1, 33)))
IDENTIFIER = Identifier(payment_hash=b"\xa1" * 32, token_id=b"\xb2" * 32)
CAVEATS = (
    "expires_at=1800000000",
    "budget_msat=50000;id=0123456789abcdef",
    "max_request_msat=7000",
    "models=offline,larger",
    "rights=read,spend",
)
MUTATIONS = 20_000
LOCATION = b"boltwork"
HEAD = b"\x02\x01\x08" + LOCATION + b"\x02\x42" + IDENTIFIER.to_bytes() + b"\0"
SIGNATURE_BYTES = 32


def hashed(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def packet(kind: int, content: bytes) -> bytes:
    length, size = len(content), b""
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([kind]) + size + bytes([length]) + content


def written(identifier: bytes, caveats: list[bytes], signature: bytes) -> bytes:
    """A macaroon of version 2 as its format says, written without the product or the library."""
    sections = b"".join(packet(2, caveat) + b"\0" for caveat in caveats)
    head = b"\x02" + packet(1, LOCATION) + packet(2, identifier) + b"\0"
    return head + sections + b"\0" + packet(6, signature)


def signed(keys: TokenKeys, identifier: bytes, caveats: list[bytes]) -> bytes:
    root_key = hashed(keys.root, identifier)
    signature = hashed(hashed(b"macaroons-key-generator", root_key), identifier)
    for caveat in caveats:
        signature = hashed(signature, caveat)
    return signature


def assert_refused(presented: str, keys: TokenKeys = KEYS) -> None:
    with pytest.raises(Unauthorized) as refusal:
        verify(keys, presented)
    assert refusal.value.detail == BAD_CREDENTIAL
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


# What a good token is


def test_a_minted_token_is_verified_with_what_was_signed():
    raw = mint(KEYS, IDENTIFIER, CAVEATS)

    token = verify(KEYS, to_bearer(raw))

    assert token.identifier == IDENTIFIER
    assert token.payment_hash == b"\xa1" * 32
    assert token.token_id == b"\xb2" * 32
    assert token.caveats.texts == CAVEATS
    assert token.caveats.expires_at_s == 1_800_000_000
    assert token.caveats.rights == {"read", "spend"}
    assert token.raw == raw


def test_an_identifier_has_the_l402_layout():
    assert IDENTIFIER.to_bytes() == b"\0\0" + b"\xa1" * 32 + b"\xb2" * 32
    assert mint(KEYS, IDENTIFIER).startswith(HEAD)


def test_a_known_token_keeps_its_spelling():
    root = hashed(KEYS.root, IDENTIFIER.to_bytes())
    signature = hashed(hashed(b"macaroons-key-generator", root), IDENTIFIER.to_bytes())
    caveat = b"rights=read"

    raw = mint(KEYS, IDENTIFIER, ["rights=read"])

    assert raw == HEAD + b"\x02\x0b" + caveat + b"\0\0\x06\x20" + hashed(signature, caveat)


def test_both_alphabets_are_read_padded_or_not():
    raw = mint(KEYS, Identifier(payment_hash=b"\xff" * 32, token_id=b"\xfb" * 32))
    assert "-" in to_bearer(raw) or "_" in to_bearer(raw)
    assert to_l402(raw).endswith("=")

    texts = [to_bearer(raw), to_l402(raw), to_l402(raw).rstrip("=")]
    texts.append(base64.urlsafe_b64encode(raw).decode())

    assert len(set(texts)) == 4
    assert {verify(KEYS, text).raw for text in texts} == {raw}


def test_another_secret_refuses_and_the_same_one_still_knows_the_token():
    text = to_bearer(mint(KEYS, IDENTIFIER, CAVEATS))

    assert_refused(text, OTHER_KEYS)
    assert verify(TokenKeys(bytes(KEYS.root)), text).identifier == IDENTIFIER


def test_every_token_has_a_root_key_of_its_own():
    one, other = IDENTIFIER, Identifier(payment_hash=JOB_HASH, token_id=b"\xb2" * 32)

    assert KEYS.root_key(one.to_bytes()) != KEYS.root_key(other.to_bytes())
    assert verify(KEYS, to_bearer(mint(KEYS, other))).payment_hash == JOB_HASH


def test_token_ids_are_fresh():
    assert len({new_token_id() for _ in range(1000)}) == 1000
    assert len(new_token_id()) == 32


def test_neither_a_token_nor_a_key_is_printed():
    token = verify(KEYS, to_bearer(mint(KEYS, IDENTIFIER)))
    signature = token.raw[-SIGNATURE_BYTES:]

    assert repr(signature)[2:-1] not in repr(token)
    assert repr(token).startswith("Token(identifier=Identifier(")
    assert "raw=" not in repr(token)
    assert repr(KEYS) == "TokenKeys()"


# Weaker copies


def test_anyone_can_add_a_caveat_and_the_copy_keeps_its_name():
    raw = mint(KEYS, IDENTIFIER, ["rights=read,spend"])

    copy = verify(KEYS, to_bearer(attenuate(attenuate(raw, "rights=spend"), "models=offline")))

    assert copy.token_id == IDENTIFIER.token_id
    assert copy.caveats.texts == ("rights=read,spend", "rights=spend", "models=offline")
    assert copy.caveats.rights == {"spend"}


def test_adding_caveats_one_by_one_is_minting_them_at_once():
    raw = mint(KEYS, IDENTIFIER)
    for caveat in CAVEATS:
        raw = attenuate(raw, caveat)

    assert raw == mint(KEYS, IDENTIFIER, CAVEATS)


@pytest.mark.parametrize("caveat", ["", "foo=1", "rights=", "expires_at=01", "models=ä", "\ud800"])
def test_a_caveat_that_nobody_would_honour_is_not_added(caveat):
    with pytest.raises(InvalidRequest):
        attenuate(mint(KEYS, IDENTIFIER), caveat)
    with pytest.raises(InvalidRequest):
        mint(KEYS, IDENTIFIER, [caveat])


@pytest.mark.parametrize("raw", [b"", b"\x02", b"rubbish" * 40, HEAD])
def test_only_a_token_can_be_attenuated(raw):
    with pytest.raises(Unauthorized):
        attenuate(raw, "rights=read")


def test_a_token_carries_as_many_caveats_as_may_be_and_no_more():
    raw = mint(KEYS, IDENTIFIER, ["expires_at=5"] * CAVEATS_MAX)

    assert verify(KEYS, to_bearer(raw)).caveats.count == CAVEATS_MAX
    with pytest.raises(InvalidRequest):
        attenuate(raw, "rights=read")
    caveats = [b"expires_at=5"] * (CAVEATS_MAX + 1)
    identifier = IDENTIFIER.to_bytes()
    assert_refused(to_bearer(written(identifier, caveats, signed(KEYS, identifier, caveats))))


def test_a_token_is_as_long_as_may_be_and_no_longer():
    room = TEXT_LENGTH_MAX // 4 * 3 - len(mint(KEYS, IDENTIFIER)) - len(b"\x02\xff\x7f\0models=")

    longest = mint(KEYS, IDENTIFIER, ["models=" + "m" * room])

    assert len(to_l402(longest)) == TEXT_LENGTH_MAX
    assert verify(KEYS, to_l402(longest)).caveats.count == 1
    with pytest.raises(InvalidRequest):
        mint(KEYS, IDENTIFIER, ["models=" + "m" * (room + 1)])
    caveats = [b"models=" + b"m" * (room + 1)]
    identifier = IDENTIFIER.to_bytes()
    assert_refused(to_bearer(written(identifier, caveats, signed(KEYS, identifier, caveats))))


def test_a_huge_token_is_refused_unread():
    assert_refused("A" * 2_000_000)
    assert_refused(to_bearer(HEAD + b"\x02\x01a\0" * 100_000))


# Against the library, and against the format


def random_tokens() -> Iterator[tuple[TokenKeys, Identifier, list[str]]]:
    rng = random.Random(402)
    for _ in range(200):
        keys = TokenKeys(rng.randbytes(32))
        identifier = Identifier(payment_hash=rng.randbytes(32), token_id=rng.randbytes(32))
        pool = [
            *CAVEATS,
            "models=" + "m" * rng.randrange(1, 300),
            f"expires_at={rng.getrandbits(50)}",
        ]
        yield keys, identifier, rng.choices(pool, k=rng.randrange(9))


def test_the_library_verifies_what_we_mint():
    for keys, identifier, caveats in random_tokens():
        macaroon = Macaroon.deserialize(to_bearer(mint(keys, identifier, caveats)))
        verifier = Verifier()
        verifier.satisfy_general(lambda _: True)

        assert verifier.verify(macaroon, keys.root_key(identifier.to_bytes()))
        assert [caveat.caveat_id.decode() for caveat in macaroon.caveats] == caveats


def test_we_verify_what_the_library_mints():
    for keys, identifier, caveats in random_tokens():
        macaroon = Macaroon(
            location=LOCATION.decode(),
            identifier=identifier.to_bytes(),
            key=keys.root_key(identifier.to_bytes()),
            version=MACAROON_V2,
        )
        for caveat in caveats:
            macaroon.add_first_party_caveat(caveat)

        token = verify(keys, macaroon.serialize())

        assert token.identifier == identifier
        assert list(token.caveats.texts) == caveats


def test_what_we_mint_is_the_format_byte_by_byte():
    for keys, identifier, caveats in random_tokens():
        content = [caveat.encode() for caveat in caveats]
        signature = signed(keys, identifier.to_bytes(), content)

        assert mint(keys, identifier, caveats) == written(identifier.to_bytes(), content, signature)


# Forgeries

GOOD = mint(KEYS, IDENTIFIER, CAVEATS)
CONTENT = [caveat.encode() for caveat in CAVEATS]
SIGNATURE = GOOD[-SIGNATURE_BYTES:]


def test_the_library_alone_believes_a_forged_caveat_under_an_old_signature():
    raw = written(IDENTIFIER.to_bytes(), [b"rights=manage"], mint(KEYS, IDENTIFIER)[-32:])
    macaroon = Macaroon.deserialize(to_bearer(raw))

    assert Verifier().verify(macaroon, KEYS.root_key(IDENTIFIER.to_bytes()))
    assert_refused(to_bearer(raw))


@pytest.mark.parametrize("extra", ["rights=manage", "expires_at=9007199254740992", "sid=1", "x"])
@pytest.mark.parametrize("at", [0, 2, 5])
def test_a_forged_caveat_under_an_old_signature_is_refused(extra, at):
    forged = [*CONTENT[:at], extra.encode(), *CONTENT[at:]]

    assert_refused(to_bearer(written(IDENTIFIER.to_bytes(), forged, SIGNATURE)))


@pytest.mark.parametrize("left_out", range(5))
def test_no_caveat_can_be_taken_away(left_out):
    fewer = [*CONTENT[:left_out], *CONTENT[left_out + 1 :]]

    assert_refused(to_bearer(written(IDENTIFIER.to_bytes(), fewer, SIGNATURE)))


def test_caveats_keep_their_order():
    assert_refused(to_bearer(written(IDENTIFIER.to_bytes(), CONTENT[::-1], SIGNATURE)))


@pytest.mark.parametrize("caveat", ["foo=1", "services=chat:0", "preimage=00", "rights=", "ä=1"])
def test_a_caveat_that_is_not_known_here_is_refused_though_it_is_signed(caveat):
    macaroon = Macaroon.deserialize(to_bearer(GOOD)).add_first_party_caveat(caveat)

    assert_refused(macaroon.serialize())


def test_a_name_of_another_version_is_refused_though_it_is_signed():
    for identifier in (b"\0\1" + IDENTIFIER.to_bytes()[2:], IDENTIFIER.to_bytes()[2:], b"", b"x"):
        raw = written(identifier, [], signed(KEYS, identifier, []))
        assert_refused(to_bearer(raw))


def test_a_third_party_caveat_is_refused():
    macaroon = Macaroon.deserialize(to_bearer(GOOD))
    macaroon.add_third_party_caveat("https://elsewhere.example", "a key", "a name")

    assert_refused(macaroon.serialize())
    assert_refused(to_bearer(GOOD[:-35] + packet(2, b"name") + packet(4, b"vid") + GOOD[-36:]))


def test_the_older_binary_form_is_refused():
    identifier = IDENTIFIER.to_bytes().replace(b"\xa1", b"a").replace(b"\xb2", b"b")
    macaroon = Macaroon(
        location="boltwork",
        identifier=identifier,
        key=KEYS.root_key(identifier),
        version=MACAROON_V1,
    )

    assert_refused(BinarySerializer().serialize(macaroon))


def test_one_token_has_four_spellings_and_no_other():
    text, padded = to_bearer(GOOD), to_l402(GOOD)
    assert len(text) % 4 == 2, "the last character has four stray bits"
    assert padded.endswith("==")
    stray = text[:-1] + chr(ord(text[-1]) + 1)
    no_location = b"\x02" + GOOD[11:]
    long_length = GOOD[:11] + b"\x02\xc2\x00" + GOOD[13:]
    long_type = GOOD[:11] + b"\x82\x00" + GOOD[12:]
    long_caveat = HEAD + b"\x02\x95\x00" + GOOD[len(HEAD) + 2 :]
    longer_caveat = HEAD + b"\x02\x95\x80\x00" + GOOD[len(HEAD) + 2 :]
    other_location = GOOD.replace(LOCATION, b"boltwOrk")
    spellings = [
        stray,
        stray + "==",
        text + "=",
        text + "===",
        text + "====",
        " " + text,
        text + " ",
        text + "\n",
        text + "\0",
        text[:80] + "\n" + text[80:],
        text[:80] + "!" + text[80:],
        text[:80] + "=" + text[80:],
        text[:80] + "\u017f" + text[80:],
        "=" + text,
        GOOD.hex(),
        to_bearer(no_location),
        to_bearer(b"\x02\x01\x00" + no_location[1:]),
        to_bearer(other_location),
        to_bearer(long_length),
        to_bearer(long_type),
        to_bearer(long_caveat),
        to_bearer(longer_caveat),
        to_bearer(GOOD + b"\0"),
    ]

    for spelling in spellings:
        assert_refused(spelling)
    assert len(set(spellings)) == len(spellings)


def test_the_two_alphabets_do_not_mix():
    raw = mint(KEYS, Identifier(payment_hash=b"\xff" * 32, token_id=b"\xfb" * 32))
    text, padded = to_bearer(raw), to_l402(raw)
    middle = len(text) // 2
    assert set("-_") & set(text[:middle])
    assert set("+/") & set(padded[middle:])

    assert_refused(text[:middle] + padded[middle:])


Mutation = Callable[[random.Random, bytes], bytes]


def flipped(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]


def replaced(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + rng.randbytes(rng.randrange(1, 4)) + raw[at + rng.randrange(3) :]


def cut(rng: random.Random, raw: bytes) -> bytes:
    start = rng.randrange(len(raw))
    return raw[:start] + raw[start + rng.randrange(1, 40) :]


def truncated(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw))]


def doubled(rng: random.Random, raw: bytes) -> bytes:
    start, end = sorted(rng.sample(range(len(raw)), 2))
    return raw[:end] + raw[start:end] + raw[end:]


def extended(rng: random.Random, raw: bytes) -> bytes:
    return raw + rng.randbytes(rng.randrange(1, 40))


def rearranged(rng: random.Random, _raw: bytes) -> bytes:
    """Whole caveats taken away, doubled, swapped or made up, under a signature that was seen."""
    made_up = [f"rights={','.join(RIGHTS)}".encode(), b"expires_at=1900000000", b"sid=1", b""]
    content = rng.sample(CONTENT + made_up, rng.randrange(8))
    identifier = rng.choice([IDENTIFIER.to_bytes(), b"\0\0" + rng.randbytes(64)])
    signatures = [mint(KEYS, IDENTIFIER, CAVEATS[:count])[-32:] for count in range(6)]
    if (identifier, content) in [(IDENTIFIER.to_bytes(), CONTENT[:count]) for count in range(6)]:
        content = [*content, b"rights=read"]  # else it would be a good token
    return written(identifier, content, rng.choice(signatures))


def respelt_lengths(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] | 0x80, rng.choice([0, 1, 0x80])]) + raw[at + 1 :]


RAW_MUTATIONS: list[Mutation] = [
    *(flipped, replaced, cut, truncated, doubled, extended, rearranged, respelt_lengths)
]


def test_no_mutation_of_a_token_is_accepted():
    rng = random.Random(66)
    spelling = (to_bearer, to_l402)

    for number in range(MUTATIONS):
        mutation = RAW_MUTATIONS[number % len(RAW_MUTATIONS)]
        mutated = mutation(rng, GOOD)
        if mutated != GOOD:
            assert_refused(rng.choice(spelling)(mutated))


def test_no_mutation_of_the_text_is_accepted():
    rng = random.Random(64)
    padded = base64.urlsafe_b64encode(GOOD).decode()
    good = {to_bearer(GOOD), to_l402(GOOD), to_l402(GOOD).rstrip("="), padded}

    for _ in range(MUTATIONS // 4):
        text = rng.choice(sorted(good))
        at = rng.randrange(len(text))
        inserted = chr(rng.choice([rng.randrange(128), rng.randrange(0xD800), 0xDCFF]))
        mutated = text[:at] + inserted + text[at + rng.randrange(3) :]
        if mutated not in good:
            assert_refused(mutated)


@given(st.one_of(st.text(), st.text(alphabet="AB+/-_=01 \ud800ä", max_size=40)))
def test_any_text_is_refused_with_the_same_words(text):
    assert_refused(text)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_the_same_words(raw):
    assert_refused(to_bearer(raw))
    assert_refused(to_bearer(HEAD + raw))
    assert_refused(to_bearer(GOOD[:-35] + raw + GOOD[-35:]) if raw else "")


@given(st.binary(max_size=300))
def test_any_bytes_have_four_text_forms(raw):
    texts = {to_bearer(raw), to_l402(raw), to_l402(raw).rstrip("=")}

    assert {from_text(text) for text in texts} == {raw}


# The cache


def test_the_cache_gives_the_same_answers():
    cache = TokenCache(KEYS)
    text = to_bearer(GOOD)

    first, second = cache.verify(text), cache.verify(text)

    assert first == verify(KEYS, text)
    assert second is first


def test_the_cache_remembers_no_refusal():
    cache = TokenCache(KEYS)
    forged = written(IDENTIFIER.to_bytes(), [*CONTENT, b"rights=read"], SIGNATURE)

    for text in (to_bearer(forged), "", "\udcff", "A" * 5000):
        for _ in range(2):
            with pytest.raises(Unauthorized):
                cache.verify(text)

    assert len(cache) == 0


def test_the_cache_forgets_the_token_that_was_used_least_lately():
    cache = TokenCache(KEYS, tokens_max=2)
    a, b, c = (to_bearer(mint(KEYS, IDENTIFIER, [f"expires_at={n}"])) for n in range(3))
    first = cache.verify(a)
    second = cache.verify(b)

    assert cache.verify(a) is first
    cache.verify(c)

    assert len(cache) == 2
    assert cache.verify(a) is first
    assert cache.verify(b) is not second
