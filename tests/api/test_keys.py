"""The grammar of Idempotency-Key, and what makes two requests the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from api.keys import fingerprint, key_in
from core.values.errors import InvalidRequest


def read(*values: str, length_min: int = 1) -> str | None:
    return key_in(
        CIMultiDict(("Idempotency-Key", value) for value in values), length_min=length_min
    )


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        (r'"a\"b\\c"', r'a"b\c'),
        ('a"b', 'a"b'),
        ("x" * 255, "x" * 255),
        ('"' + "x" * 255 + '"', "x" * 255),
        (" abc ", "abc"),
    ],
)
def test_a_key_is_read_bare_or_quoted(value, key):
    assert read(value) == key


@pytest.mark.parametrize(
    "value",
    ["", '""', "x" * 256, "a b", '"a b"', '"abc', '"a"b"', r'"a\b"', "\xe4", "a\x7f", '"a" ;p=1'],
)
def test_what_is_no_key_is_refused(value):
    with pytest.raises(InvalidRequest):
        read(value)


def test_two_keys_are_refused():
    with pytest.raises(InvalidRequest):
        read("one", "one")


def test_no_key_is_no_key():
    assert read() is None


def test_a_short_key_is_refused_where_only_the_address_tells_customers_apart():
    assert read("x" * 16, length_min=16) == "x" * 16
    with pytest.raises(InvalidRequest):
        read("x" * 15, length_min=16)


PARTS = st.tuples(
    st.sampled_from(["POST", "DELETE"]), st.text("/ab0%", min_size=1), st.binary(max_size=20)
)


@given(PARTS, PARTS)
def test_fingerprints_are_equal_only_for_equal_requests(one, other):
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)
