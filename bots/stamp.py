"""The picture that takes the place of an invoice's QR code once it is paid.

A paid invoice must not be scanned again. The picture is drawn here, as a PNG of one bit a pixel
(https://www.w3.org/TR/png-3/): five lines of letters need no graphics library.
"""

import struct
import zlib
from typing import Final

_LETTERS: Final = (
    "###   ##  ### ### ",
    "#  # #  #  #  #  #",
    "###  ####  #  #  #",
    "#    #  #  #  #  #",
    "#    #  # ### ### ",
)
_SIDE: Final = 30  # of the square picture, in dots
_SCALE: Final = 16  # pixels of a dot


def paid_stamp() -> bytes:
    """A square PNG that says PAID."""
    return _png([row for row in _dots() for _ in range(_SCALE)])


def _dots() -> list[str]:
    """The picture, "#" for black: the letters in a frame, in the middle."""
    width = len(_LETTERS[0])
    frame = ["#" * (width + 6), "#" + " " * (width + 4) + "#"]
    lines = [*frame, *(f"#  {letters}  #" for letters in _LETTERS), *reversed(frame)]
    blank = (_SIDE - len(lines)) // 2
    above, below = [""] * blank, [""] * (_SIDE - len(lines) - blank)
    return [line.center(_SIDE) for line in (*above, *lines, *below)]


def _png(rows: list[str]) -> bytes:
    side = _SIDE * _SCALE
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)  # one bit of grey, 1 is white
    pixels = b"".join(b"\0" + _bits(row) for row in rows)  # each row is preceded by its filter
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _bits(row: str) -> bytes:
    bits = "".join(("0" if dot == "#" else "1") * _SCALE for dot in row)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
