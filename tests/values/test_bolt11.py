"""BOLT11: the published examples, the rules one by one, and strangers' nonsense."""

import dataclasses
import json
import string
import time
from pathlib import Path

import coincurve
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.values import bech32, bolt11
from core.values.bech32 import from_octets, to_words
from core.values.bolt11 import Bolt11, Bolt11Error, decode, encode_and_sign
from core.values.money import SATS_MAX, Msat, from_sats

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "bolt11.json").read_text("utf-8"))

KEY = bytes.fromhex("e126f68f7eafcc8b74f54d269fe206be715000f94dac067d1c04a8ca3b2db734")
OTHER_KEY = bytes.fromhex("41" * 32)
HASH = "ab" * 32
SECRET = "cd" * 32
NOW_S = 1_800_000_000

few = settings(max_examples=300, deadline=None)


def node_of(key: bytes) -> str:
    return coincurve.PublicKey.from_valid_secret(key).format().hex()


def field(tag: str, octets: bytes) -> bytes:
    return bolt11._field(tag, from_octets(octets))


PAYMENT_HASH = field("p", bytes.fromhex(HASH))
PAYMENT_SECRET = field("s", bytes.fromhex(SECRET))
DESCRIPTION = field("d", b"tea")


def sealed(*fields: bytes, hrp: str = "lnbcrt", key: bytes = KEY) -> str:
    """An invoice of just these fields, right in signature and checksum."""
    return bolt11._seal(hrp, to_words(NOW_S, 7) + b"".join(fields), key)


def usual(*fields: bytes, hrp: str = "lnbcrt", key: bytes = KEY) -> str:
    """The same with everything before it that an invoice has to have."""
    return sealed(PAYMENT_HASH, PAYMENT_SECRET, DESCRIPTION, *fields, hrp=hrp, key=key)


@pytest.mark.parametrize("example", VECTORS["valid"], ids=lambda example: example["about"][:40])
def test_a_published_example_is_read_as_its_breakdown_says(example):
    expected = VECTORS["common"] | example["says"]

    invoice = dataclasses.asdict(decode(example["invoice"]))

    assert invoice.pop("features") == sum(1 << bit for bit in expected.pop("features"))
    if expected["payee"] is None:
        del invoice["payee"], expected["payee"]
    assert invoice == expected


@pytest.mark.parametrize("example", VECTORS["invalid"], ids=lambda example: example["about"][:40])
def test_a_published_invalid_example_is_refused_for_its_reason(example):
    with pytest.raises(Bolt11Error, match=example["says"]):
        decode(example["invoice"])


@pytest.mark.parametrize(
    ("hrp", "network", "amount"),
    [
        ("lnbc", "mainnet", None),
        ("lntb", "testnet", None),
        ("lntbs", "signet", None),
        ("lnbcrt", "regtest", None),
        ("lnbcrt1", "regtest", 100_000_000_000),
        ("lntb1m", "testnet", 100_000_000),
        ("lntbs1u", "signet", 100_000),
        ("lnbc1n", "mainnet", 100),
        ("lnbc10p", "mainnet", 1),
        ("lnbc21000000", "mainnet", SATS_MAX * 1000),
    ],
)
def test_network_and_amount_are_read_from_the_prefix(hrp, network, amount):
    invoice = decode(usual(hrp=hrp))

    assert (invoice.network, invoice.amount) == (network, amount)


@pytest.mark.parametrize(
    ("hrp", "why"),
    [
        ("lnbb", "network"),
        ("lnsb", "network"),
        ("bc", "network"),
        ("ln", "network"),
        ("lnbcm", "network"),
        ("lnbc-1", "network"),
        ("lnbc1.5m", "network"),
        ("lnbc1mm", "network"),
        ("lnbc1k", "multiplier"),
        ("lnbc0", "zero"),
        ("lnbc0m", "zero"),
        ("lnbc010u", "zero"),
        ("lnbc1p", "millisatoshi"),
        ("lnbc19p", "millisatoshi"),
        ("lnbc21000001", "more than there is"),
        ("lnbc" + "9" * 19, "more than there is"),
        ("lnbc" + "9" * 5000, "more than there is"),
    ],
)
def test_a_wrong_prefix_or_amount_is_refused(hrp, why):
    with pytest.raises(Bolt11Error, match=why):
        decode(usual(hrp=hrp))


def test_upper_case_is_read_and_a_mixture_is_not():
    text = usual(hrp="lnbc1m")

    assert decode(text.upper()) == decode(text)
    with pytest.raises(Bolt11Error, match="case"):
        decode("L" + text[1:])
    with pytest.raises(Bolt11Error, match="case"):
        decode("l" + text[1:].upper())


@pytest.mark.parametrize("text", ["", "1", "lnbc1", "lnbc", "11111111", "\0", "lnbc1qqqqqqb"])
def test_what_is_no_bech32_is_refused(text):
    with pytest.raises(Bolt11Error):
        decode(text)


@pytest.mark.parametrize("around", ["{} ", " {}", "{}\n", "lightning:{}", "{}\u212a", "{}\ud800"])
def test_nothing_may_stand_around_an_invoice(around):
    with pytest.raises(Bolt11Error):
        decode(around.format(usual()))


def test_every_single_wrong_letter_is_found():
    text = usual()

    for at in range(len("lnbcrt1"), len(text)):
        wrong = "q" if text[at] != "q" else "p"
        with pytest.raises(Bolt11Error, match="checksum"):
            decode(text[:at] + wrong + text[at + 1 :])


def test_a_text_longer_than_any_invoice_is_refused_unread():
    with pytest.raises(Bolt11Error, match="longer"):
        decode("lnbc1" + "q" * bolt11.LENGTH_MAX)


def test_the_longest_invoice_is_read_in_bounded_time():
    route = bolt11._field("r", bytes(1000))
    text = usual(*[route] * 6)
    began = time.process_time()

    decode(text)

    assert len(text) > 6000
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([PAYMENT_SECRET, DESCRIPTION], "no payment hash"),
        ([field("p", bytes(31)), PAYMENT_SECRET, DESCRIPTION], "no payment hash"),
        ([PAYMENT_HASH, DESCRIPTION], "no payment secret"),
        ([PAYMENT_HASH, PAYMENT_SECRET], "neither a description"),
        ([PAYMENT_HASH, PAYMENT_SECRET, DESCRIPTION, field("h", bytes(32))], "another one"),
    ],
)
def test_an_invoice_without_a_part_that_it_must_have_is_refused(fields, why):
    with pytest.raises(Bolt11Error, match=why):
        decode(sealed(*fields))


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        (bytes([6, 0]), "cut off"),
        (bytes([6, 0, 2, 1]), "cut off"),
        (bytes([6, 31, 31, 1]), "cut off"),
        (bolt11._field("x", bytes([0, 1])), "begins with zeros"),
        (bolt11._field("c", bytes([0])), "begins with zeros"),
        (bolt11._field("9", bytes([0, 8, 8])), "begins with zeros"),
        (bolt11._field("x", bytes([1] * 8)), "too large"),
        (bolt11._field("c", bytes([31] * 1000)), "too large"),
        (bolt11._field("n", bytes(53)), "signature of the invoice is not valid"),
        (bolt11._field("n", bytes([31] * 53)), "padded wrongly"),
    ],
)
def test_a_field_that_is_cut_off_or_wasteful_or_absurd_is_refused(extra, why):
    with pytest.raises(Bolt11Error, match=why):
        decode(usual(extra))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (bytes([31, 31]), "padded wrongly"),  # 8 bits and 2 that are not zero
        (bytes([14, 16, 0]), "padded wrongly"),  # 8 bits and a whole word too much
        (bytes([31, 28]), "UTF-8"),  # ff
    ],
)
def test_a_description_that_is_no_text_is_refused(words, why):
    with pytest.raises(Bolt11Error, match=why):
        decode(sealed(PAYMENT_HASH, PAYMENT_SECRET, bolt11._field("d", words)))


def test_fields_of_another_length_and_of_unknown_types_are_skipped():
    strange = [field(tag, bytes(40)) for tag in "pshn"] + [field("2", b"?"), field("y", b"")]

    invoice = decode(sealed(*strange, PAYMENT_HASH, PAYMENT_SECRET, DESCRIPTION))

    assert invoice == decode(usual())


def test_of_several_fields_of_a_type_the_first_one_counts():
    second = [field("p", bytes(32)), field("s", bytes(32)), field("d", b"coffee")]

    assert decode(usual(*second)) == decode(usual())


def test_defaults_stand_for_expiry_and_final_delta():
    invoice = decode(usual())

    assert invoice.expiry_s == 3600
    assert invoice.expires_at_ms == (NOW_S + 3600) * 1000
    assert invoice.min_final_cltv_blocks == 18


@pytest.mark.parametrize("bit", [0, 8, 12, 14, 16, 24, 36, 44, 48])
def test_a_required_feature_that_every_payer_or_this_text_knows_is_fine(bit):
    assert decode(usual(bolt11._field("9", bolt11._shortest(1 << bit)))).features == 1 << bit


@pytest.mark.parametrize("bit", [2, 30, 56, 100, 5000])
def test_an_unknown_feature_may_be_offered_and_not_required(bit):
    offered = usual(bolt11._field("9", bolt11._shortest(1 << bit + 1)))
    required = usual(bolt11._field("9", bolt11._shortest(1 << bit)))

    assert decode(offered).features == 1 << bit + 1
    with pytest.raises(Bolt11Error, match=f"requires feature {bit},"):
        decode(required)


def test_the_signature_tells_the_node():
    assert decode(usual(key=KEY)).payee == node_of(KEY)
    assert decode(usual(key=OTHER_KEY)).payee == node_of(OTHER_KEY)


def test_a_named_node_must_be_the_one_that_signed():
    named = field("n", bytes.fromhex(node_of(KEY)))

    assert decode(usual(named, key=KEY)).payee == node_of(KEY)
    with pytest.raises(Bolt11Error, match="not that of the node"):
        decode(usual(named, key=OTHER_KEY))


def test_for_a_named_node_the_recovery_number_does_not_matter():
    text = usual(field("n", bytes.fromhex(node_of(KEY))))
    hrp, words = bech32.decode(text, length_max=9000)

    other = bech32.encode(hrp, words[:-1] + bytes([words[-1] ^ 1]))

    assert decode(other).payee == node_of(KEY)


@pytest.mark.parametrize(
    ("amount", "prefix"),
    [
        (None, "lnbcrt1"),
        (1, "lnbcrt10p1"),
        (99, "lnbcrt990p1"),
        (100, "lnbcrt1n1"),
        (21_000, "lnbcrt210n1"),
        (1_500_000, "lnbcrt15u1"),
        (2_000_000_000, "lnbcrt20m1"),
        (100_000_000_000, "lnbcrt11"),
    ],
)
def test_an_amount_is_written_as_short_as_can_be(amount, prefix):
    text = written(amount=amount)

    assert text.startswith(prefix)
    assert decode(text).amount == amount


def test_what_is_written_asks_for_the_features_that_every_node_has():
    assert decode(written()).features == 1 << 8 | 1 << 14


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": Msat(0)},
        {"amount": from_sats(SATS_MAX + 1)},
        {"description": None},
        {"description_hash": HASH},
        {"description": "ä" * 320},
        {"payment_hash": "ab"},
        {"payment_secret": "ab"},
    ],
)
def test_an_invoice_that_could_not_be_read_is_not_written(wrong):
    with pytest.raises(Bolt11Error):
        written(**wrong)


def written(**changes):
    return encode_and_sign(
        KEY,
        **{
            "network": "regtest",
            "amount": from_sats(21),
            "created_at_s": NOW_S,
            "payment_hash": HASH,
            "payment_secret": SECRET,
            "description": "tea",
        }
        | changes,
    )


hex32 = st.binary(min_size=32, max_size=32).map(bytes.hex)
seconds = st.integers(0, 2**35 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=639).filter(lambda t: len(t.encode()) < 640)
asked = st.fixed_dictionaries(
    {
        "network": st.sampled_from(["mainnet", "testnet", "signet", "regtest"]),
        "amount": st.none() | st.integers(1, SATS_MAX * 1000),
        "created_at_s": seconds,
        "expiry_s": seconds,
        "payment_hash": hex32,
        "payment_secret": hex32,
        "min_final_cltv_blocks": seconds,
    }
)
described = st.builds(lambda text: {"description": text}, texts) | st.builds(
    lambda digest: {"description_hash": digest}, hex32
)


@few
@given(asked, described)
def test_what_is_written_is_read_again(asked, described):
    text = encode_and_sign(KEY, **asked, **described)

    assert decode(text) == Bolt11(
        **({"description": None, "description_hash": None} | asked | described),
        features=1 << 8 | 1 << 14,
        payee=node_of(KEY),
    )


def read_or_refused(text: str) -> Bolt11 | None:
    try:
        return decode(text)
    except Bolt11Error:
        return None


@few
@given(st.text(max_size=300) | st.text(string.ascii_lowercase + string.digits, max_size=8000))
def test_any_text_is_read_or_refused(text):
    read_or_refused(text)


@few
@given(st.text(bech32.LETTERS + "1bio", max_size=8), st.integers(0, 280), st.integers(0, 8))
def test_a_damaged_invoice_is_refused(put_in, at, taken_out):
    text = usual(hrp="lnbcrt210n")
    damaged = text[:at] + put_in + text[at + taken_out :]

    assert read_or_refused(damaged) in (None, decode(text))


@few
@given(st.binary(max_size=600))
def test_any_content_under_a_valid_signature_is_read_or_refused(content):
    words = bytes(octet & 31 for octet in content)

    read_or_refused(usual(words))
    read_or_refused(sealed(words))


@few
@given(st.binary(min_size=111, max_size=200))
def test_any_content_and_signature_under_a_valid_checksum_are_read_or_refused(content):
    words = bytes(octet & 31 for octet in content)
    _, good = bech32.decode(usual(), length_max=9000)

    read_or_refused(bech32.encode("lnbc1m", words))
    read_or_refused(bech32.encode("lnbc1m", good[:-104] + words[-104:]))
