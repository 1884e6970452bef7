"""BOLT11 against another reader and writer: the `bolt11` package that LNbits uses."""

import json
from pathlib import Path

import bolt11 as oracle
import coincurve
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.values.bolt11 import Bolt11, Bolt11Error, decode, encode_and_sign
from core.values.money import SATS_MAX

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "bolt11.json").read_text("utf-8"))
PREFIXES = {"mainnet": "bc", "testnet": "tb", "signet": "tbs", "regtest": "bcrt"}

hex32 = st.binary(min_size=32, max_size=32).map(bytes.hex)
keys = st.binary(min_size=32, max_size=32).filter(any).filter(lambda key: key[0] < 255)
invoices = st.fixed_dictionaries(
    {
        "network": st.sampled_from(list(PREFIXES)),
        "amount": st.none() | st.integers(1, SATS_MAX * 1000),
        "created_at_s": st.integers(0, 2**35 - 1),
        "expiry_s": st.integers(1, 2**32 - 1),
        "payment_hash": hex32,
        "payment_secret": hex32,
        "min_final_cltv_blocks": st.integers(1, 2**16),
        "description": st.text(st.characters(codec="utf-8"), min_size=1, max_size=100),
    }
)


def as_the_oracle_reads(text: str) -> dict[str, object]:
    read = oracle.decode(text)
    networks = {prefix: network for network, prefix in PREFIXES.items()}
    return {
        "network": networks[read.currency],
        "amount": read.amount_msat,
        "created_at_s": read.date,
        "expiry_s": read.expiry or 3600,
        "payment_hash": read.payment_hash,
        "payment_secret": read.payment_secret,
        "description": read.description,
        "description_hash": read.description_hash,
        "min_final_cltv_blocks": read.min_final_cltv_expiry or 18,
        "payee": read.payee,
    }


def as_we_read(text: str) -> dict[str, object]:
    read = decode(text)
    return {name: getattr(read, name) for name in Bolt11.__slots__ if name != "features"}


@pytest.mark.parametrize("example", VECTORS["valid"], ids=lambda example: example["about"][:40])
def test_both_read_the_published_examples_alike(example):
    assert as_we_read(example["invoice"]) == as_the_oracle_reads(example["invoice"])


@settings(max_examples=100, deadline=None)
@given(invoices, keys)
def test_the_oracle_reads_what_we_write(invoice, key):
    text = encode_and_sign(key, **invoice)

    assert as_the_oracle_reads(text) == as_we_read(text)


@settings(max_examples=100, deadline=None)
@given(invoices, keys)
def test_we_read_what_the_oracle_writes(invoice, key):
    tags = oracle.Tags()
    tags.add(oracle.TagChar.payment_hash, invoice["payment_hash"])
    tags.add(oracle.TagChar.payment_secret, invoice["payment_secret"])
    tags.add(oracle.TagChar.description, invoice["description"])
    tags.add(oracle.TagChar.expire_time, invoice["expiry_s"])
    tags.add(oracle.TagChar.min_final_cltv_expiry, invoice["min_final_cltv_blocks"])
    amount = invoice["amount"]
    text = oracle.encode(
        oracle.Bolt11(
            currency=PREFIXES[invoice["network"]],
            date=invoice["created_at_s"],
            tags=tags,
            amount_msat=None if amount is None else oracle.MilliSatoshi(amount),
        ),
        key.hex(),
    )

    assert as_we_read(text) == invoice | {
        "description_hash": None,
        "payee": coincurve.PublicKey.from_valid_secret(key).format().hex(),
    }


@settings(max_examples=200, deadline=None)
@given(invoices, keys, st.integers(0, 400), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l1"))
def test_we_refuse_whatever_damage_the_oracle_refuses(invoice, key, at, letter):
    text = encode_and_sign(key, **invoice)
    at %= len(text)
    damaged = text[:at] + letter + text[at + 1 :]

    try:
        theirs = as_the_oracle_reads(damaged)
    except oracle.Bolt11Exception:
        theirs = None

    try:
        ours = as_we_read(damaged)
    except Bolt11Error:
        ours = None
    assert ours == theirs
