"""The picture that takes the place of a paid invoice's QR code, read back from its PNG."""

import struct
import zlib

from bots.stamp import paid_stamp


def chunks(png: bytes) -> dict[bytes, bytes]:
    found, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(kind + body),)
        found[kind] = body
        at += length + 12
    return found


def test_it_is_a_png_of_480_pixels_with_black_letters_on_white() -> None:
    png = paid_stamp()

    parts = chunks(png)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">IIBBBBB", parts[b"IHDR"]) == (480, 480, 1, 0, 0, 0, 0)
    pixels = zlib.decompress(parts[b"IDAT"])
    rows = [pixels[at + 1 : at + 61] for at in range(0, len(pixels), 61)]
    assert len(rows) == 480
    assert rows[0] == rows[-1] == b"\xff" * 60
    assert any(b"\0" in row for row in rows)


def test_it_is_the_same_each_time_so_that_telegram_sees_no_change() -> None:
    assert paid_stamp() == paid_stamp()
