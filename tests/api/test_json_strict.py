"""The strict JSON reader: what it takes, what it refuses, and that nothing else ever comes out."""

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.json_strict import DEPTH_MAX, decode
from core.values.errors import InvalidRequest

SAFE_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | SAFE_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SAFE_TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON_VALUES, st.booleans())
def test_what_json_can_say_is_read_as_it_was_meant(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)

    assert decode(text.encode()) == value


@given(
    st.binary(max_size=200)
    | st.text(alphabet='{}[]",:\\u0d8eE+-.1 tfn\0', max_size=60).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
)
def test_any_bytes_are_either_read_or_refused_as_invalid(raw):
    try:
        value = decode(raw)
    except InvalidRequest:
        return

    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b"9" * 5000,
        b"9223372036854775808",
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        rb'"\ud800"',
        rb'"\udc00\ud800"',
        rb'"\u0000"',
        rb'{"\u0000":1}',
        rb'{"\ud800":1}',
        b'"a\x00b"',
        b"{} {}",
        b"{'a':1}",
        b"01",
        b"[1,]",
    ],
)
def test_what_readers_disagree_about_is_refused(raw):
    with pytest.raises(InvalidRequest):
        decode(raw)


def test_a_surrogate_pair_is_one_character():
    assert decode(rb'"\ud83d\ude00"') == "\N{GRINNING FACE}"


@pytest.mark.parametrize("literal", [b"1.0", b"1e2", b"-0.0"])
def test_a_number_with_a_point_or_an_exponent_is_no_integer(literal):
    assert isinstance(decode(literal), float)


def test_nesting_as_deep_as_allowed_is_read():
    assert decode(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_one_deeper_is_refused(opening):
    with pytest.raises(InvalidRequest, match="nested"):
        decode(opening * (DEPTH_MAX + 1))


def test_brackets_inside_strings_do_not_count_as_nesting():
    assert decode(b'["' + b"[{" * 100 + b'\\""]') == ["[{" * 100 + '"']


def test_a_fault_deep_inside_is_pointed_at():
    with pytest.raises(InvalidRequest) as refusal:
        decode(rb'{"metadata":{"a/b~":["\u0000"]}}')

    assert refusal.value.pointer == "/metadata/a~1b~0/0"


@pytest.mark.parametrize(
    "raw", [b"[" * 65_536, b'"\\"' * 21_845, b'"' * 65_535, b"\\" * 65_536, b'{"a":' * 13_107]
)
def test_no_hostile_text_takes_long(raw):
    started = time.perf_counter()

    with pytest.raises(InvalidRequest):
        decode(raw)

    assert time.perf_counter() - started < 0.5


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_stay_finite(number):
    value = decode(repr(number).encode())

    assert isinstance(value, float)
    assert math.isfinite(value)
