"""Bech32: the examples of BIP-173, and words and bytes there and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.values.bech32 import Bech32Error, decode, encode, from_octets, to_octets, to_words

few = settings(max_examples=200, deadline=None)


@pytest.mark.parametrize(
    "text",
    [
        "A12UEL5L",
        "a12uel5l",
        "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
        "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
        "11" + "q" * 82 + "c8247j",
        "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
        "?1ezyfcl",
    ],
)
def test_a_valid_example_is_read_and_written_again(text):
    assert encode(*decode(text, length_max=90)) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        " 1nwldj5",
        "\x7f1axkwrx",
        "\x801eym55h",
        "pzry9x0s0muk",
        "1pzry9x0s0muk",
        "x1b4n0q5v",
        "li1dgmt3",
        "de1lg7wt\xff",
        "A1G7SGD8",
        "10a06t8",
        "1qzzfhee",
        "a12UEL5L",
    ],
)
def test_an_invalid_example_is_refused(text):
    with pytest.raises(Bech32Error):
        decode(text, length_max=90)


def test_a_longer_text_than_asked_for_is_refused():
    with pytest.raises(Bech32Error, match="longer than 7"):
        decode("a12uel5l", length_max=7)


@few
@given(st.binary(max_size=200))
def test_bytes_come_back(octets):
    assert to_octets(decode(encode("lnurl", from_octets(octets)), length_max=400)[1]) == octets


@few
@given(st.binary(max_size=200))
def test_of_all_words_only_the_right_padding_is_read(raw):
    words = bytes(octet & 31 for octet in raw)

    try:
        octets = to_octets(words)
    except Bech32Error:
        return

    assert from_octets(octets) == words


def test_a_number_that_does_not_fit_is_our_own_mistake():
    with pytest.raises(AssertionError):
        to_words(32, 1)
    with pytest.raises(AssertionError):
        to_words(-1, 1)
