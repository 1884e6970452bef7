"""The QR code of an invoice, read back from the characters that a terminal shows."""

from itertools import pairwise

import pytest
import segno

from bots.qr import QUIET_ZONE, half_blocks, invoice_code

# An example of BOLT11: a cup of coffee.
INVOICE = (
    "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5"
    "rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w"
    "27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh"
)
IS_LIGHT = {"█": (True, True), "▀": (True, False), "▄": (False, True), " ": (False, False)}


def modules_of(lines: list[str]) -> list[list[bool]]:
    """The light modules, row by row."""
    return [[IS_LIGHT[character][half] for character in line] for line in lines for half in (0, 1)]


@pytest.fixture
def code() -> segno.QRCode:
    return invoice_code(INVOICE)


def test_an_invoice_is_coded_in_upper_case_because_that_is_smaller(code):
    lower = segno.make_qr(f"lightning:{INVOICE}", error="l", boost_error=False)

    assert code.mode == "alphanumeric"
    assert code.error == "L"
    assert code.version < lower.version


def test_every_module_is_where_it_belongs(code):
    rows = modules_of(half_blocks(code))

    coded = [[not module for module in row] for row in code.matrix_iter(border=QUIET_ZONE)]
    assert rows[: len(coded)] == coded


def test_what_is_left_of_the_last_line_is_light(code):
    rows = modules_of(half_blocks(code))

    assert len(rows) == code.symbol_size(border=QUIET_ZONE)[1] + 1
    assert all(rows[-1])


def test_all_lines_are_equally_long_and_none_begins_or_ends_with_a_space(code):
    lines = half_blocks(code)

    assert all(len(upper) == len(lower) for upper, lower in pairwise(lines))
    assert all(line == line.strip() for line in lines)
