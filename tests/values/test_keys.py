"""The server secret is read in every usual spelling, and its keys are HKDF's."""

import base64

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from core.values.keys import derive, parse_secret

SECRET = bytes(range(224, 256))


@pytest.mark.parametrize(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        base64.b64encode(SECRET).decode(),
        base64.b64encode(SECRET).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET).decode(),
    ],
)
def test_a_secret_is_read_in_hex_and_in_every_base64(text):
    assert parse_secret(text) == SECRET


@pytest.mark.parametrize("text", ["", "short", "00" * 31, "00" * 33, "zz" * 32, "ü" * 44, "=" * 44])
def test_anything_else_is_refused_without_repeating_it(text):
    with pytest.raises(ValueError, match="must be 32 bytes") as refusal:
        parse_secret(text)

    assert not text or text not in str(refusal.value)


@given(secret=st.binary(min_size=32, max_size=32), label=st.text(max_size=40))
def test_keys_are_those_of_hkdf_sha256(secret, label):
    oracle = HKDF(algorithm=SHA256(), length=32, salt=None, info=label.encode())

    assert derive(secret, label) == oracle.derive(secret)
