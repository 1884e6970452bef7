"""Long texts in parts that relays take and clients show; nothing of them is cut off.

A part ends at a paragraph, else at a line, else at a word. A block of code that goes on in the
next part is closed in the one and opened again in the other.
"""

PART_BYTES_MAX = 8_000  # a wrap of it has 20 KB; relays take 64

_ROOM_BYTES = 200  # for the head of a part and the fences around it
_FENCE = "```"
_FENCE_CHARS_MAX = 40


def parts_of(text: str) -> list[str]:
    """The text in parts, numbered where there are several."""
    if len(text.encode()) <= PART_BYTES_MAX:
        return [text]
    parts, fence = [], ""
    for piece in _pieces(text.encode()):
        opened, fence = fence, _fence_after(piece, fence)
        closing = "" if not fence else _FENCE if piece.endswith("\n") else f"\n{_FENCE}"
        parts.append((f"{opened}\n" if opened else "") + piece + closing)
    return [f"({number}/{len(parts)})\n{part}" for number, part in enumerate(parts, 1)]


def _pieces(text: bytes) -> list[str]:
    room = PART_BYTES_MAX - _ROOM_BYTES
    pieces = []
    while len(text) > room:
        end = _end_of_piece(text, room)
        pieces.append(text[:end].decode())
        text = text[end:]
    return [*pieces, text.decode()] if text else pieces


def _end_of_piece(text: bytes, room: int) -> int:
    for mark in (b"\n\n", b"\n", b" "):
        end = text.rfind(mark, 0, room) + len(mark)
        if end > room // 2:
            return end
    while text[room] & 0xC0 == 0x80:  # in the middle of a character
        room -= 1
    return room


def _fence_after(piece: str, fence: str) -> str:
    """The line that opened the block of code in which the piece ends; empty outside."""
    for line in piece.split("\n"):
        if line.lstrip().startswith(_FENCE):
            fence = "" if fence else line.strip()[:_FENCE_CHARS_MAX]
    return fence
