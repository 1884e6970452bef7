"""Addresses of pay pages: one for each invoice, and nobody makes one up."""

import base64

import pytest

from core.values.pay_links import PayLinks, no_pay_url

KEY = bytes(range(32))
HASH = "ab" * 32
LINKS = PayLinks(KEY, "https://shop.example/bolt/")
TOKEN = LINKS.token_of(HASH)


def test_a_token_leads_back_to_its_invoice():
    assert LINKS.hash_of(TOKEN) == HASH


def test_an_invoice_has_one_address_below_the_public_one():
    assert LINKS.url_of(HASH) == LINKS.url_of(HASH) == f"https://shop.example/bolt/pay/{TOKEN}"


def test_without_a_public_address_there_is_no_link():
    assert PayLinks(KEY, "").url_of(HASH) is None
    assert no_pay_url(HASH) is None


def test_every_changed_bit_makes_a_token_of_nobody():
    raw = base64.urlsafe_b64decode(TOKEN)

    for place in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        assert LINKS.hash_of(base64.urlsafe_b64encode(changed).decode()) is None


@pytest.mark.parametrize(
    "text", ["", "A" * 64, TOKEN[:-1], TOKEN + "A", TOKEN + "\n", f"{TOKEN}==", "ä" * 64, "+" * 64]
)
def test_what_has_not_the_shape_of_a_token_is_none(text):
    assert LINKS.hash_of(text) is None


def test_another_secret_makes_other_tokens():
    assert PayLinks(bytes(32), "").hash_of(TOKEN) is None


def test_a_key_is_not_written_down():
    assert "key" not in repr(LINKS)
