"""Codes of links: how they are shown, read and kept."""

import pytest

from core.values.link_codes import LinkCodes, bare, new_code

CODES = LinkCodes(bytes(32))


def test_a_code_is_two_groups_of_four_letters_that_cannot_be_mistaken():
    code = new_code()

    assert [len(group) for group in code.split("-")] == [4, 4]
    assert set(bare(code)) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


@pytest.mark.parametrize(
    "written", ["K1Q0-2M9P", "k1q02m9p", " K1Q0 2M9P\n", "kIqO-2m9p", "KlQo2M9P", "K-1-Q-0-2M9P"]
)
def test_a_code_is_known_however_it_is_written(written):
    assert CODES.hash_of(written) == CODES.hash_of("K1Q0-2M9P")


@pytest.mark.parametrize(
    "written", ["", "K1Q0-2M9", "K1Q0-2M9P1", "K1Q0-2M9U", "K1Q0_2M9P", "ß" * 8]
)
def test_what_is_no_code_has_no_hash(written):
    assert CODES.hash_of(written) is None


def test_the_hash_depends_on_the_servers_key():
    assert LinkCodes(b"k" * 32).hash_of("K1Q0-2M9P") != CODES.hash_of("K1Q0-2M9P")


def test_a_code_is_drawn_anew_each_time():
    assert len({new_code() for _ in range(1_000)}) == 1_000
