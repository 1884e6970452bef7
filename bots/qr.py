"""QR codes of invoices.

BOLT11 allows upper case, and a QR code takes 5.5 bits for an upper-case letter instead of 8: an
invoice of 280 characters makes version 9 instead of 11 (measured). The level is L: a screen has no
scratches.
"""

from itertools import zip_longest
from typing import Final

import segno

QUIET_ZONE: Final = 4  # light modules on each side, ISO/IEC 18004
_LIGHT, _DARK = False, True

# Of two modules, the upper and the lower; what is light is drawn, what is dark is left out.
_HALF_BLOCKS: Final = {
    (_LIGHT, _LIGHT): "\N{FULL BLOCK}",
    (_LIGHT, _DARK): "\N{UPPER HALF BLOCK}",
    (_DARK, _LIGHT): "\N{LOWER HALF BLOCK}",
    (_DARK, _DARK): " ",
}


def invoice_code(payment_request: str) -> segno.QRCode:
    """The code that a wallet scans to pay this invoice."""
    return segno.make_qr(f"LIGHTNING:{payment_request.upper()}", error="l", boost_error=False)


def half_blocks(code: segno.QRCode) -> list[str]:
    """The code as lines of text, two modules in each character: light letters on a dark ground."""
    rows = [[bool(module) for module in row] for row in code.matrix_iter(border=QUIET_ZONE)]
    below_the_last = [_LIGHT] * len(rows[0])
    pairs = zip_longest(rows[::2], rows[1::2], fillvalue=below_the_last)
    return [
        "".join(_HALF_BLOCKS[halves] for halves in zip(upper, lower, strict=True))
        for upper, lower in pairs
    ]
