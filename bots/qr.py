"""QR codes of invoices in a terminal."""

from itertools import zip_longest
from typing import Final

import segno

from core.values.qr import QUIET_ZONE, invoice_code

__all__ = ["QUIET_ZONE", "half_blocks", "invoice_code"]

_LIGHT, _DARK = False, True

# Of two modules, the upper and the lower; what is light is drawn, what is dark is left out.
_HALF_BLOCKS: Final = {
    (_LIGHT, _LIGHT): "\N{FULL BLOCK}",
    (_LIGHT, _DARK): "\N{UPPER HALF BLOCK}",
    (_DARK, _LIGHT): "\N{LOWER HALF BLOCK}",
    (_DARK, _DARK): " ",
}


def half_blocks(code: segno.QRCode) -> list[str]:
    """The code as lines of text, two modules in each character: light letters on a dark ground."""
    rows = [[bool(module) for module in row] for row in code.matrix_iter(border=QUIET_ZONE)]
    below_the_last = [_LIGHT] * len(rows[0])
    pairs = zip_longest(rows[::2], rows[1::2], fillvalue=below_the_last)
    return [
        "".join(_HALF_BLOCKS[halves] for halves in zip(upper, lower, strict=True))
        for upper, lower in pairs
    ]
