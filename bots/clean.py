"""Text from others, without what could change how the rest of a message looks.

Unicode's bidirectional controls reorder what stands around them (CVE-2021-42574): in texts they are
shown as their numbers, in names they are left out. Telegram drops or replaces control characters
itself, so counting would go wrong if they were sent.
"""

from typing import Final

from core.values.text import storable

_BIDI: Final = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_MARKS: Final = (0x061C, 0x200E, 0x200F)  # directions without reach, needed in Arabic and Hebrew
_CONTROLS: Final = tuple(code for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (9, 10))
_BREAKS: Final = (0x0B, 0x0C, 0x85, 0x2028, 0x2029)

_IN_TEXT: Final = (
    dict.fromkeys(_CONTROLS)
    | dict.fromkeys(_BREAKS, "\n")
    | {code: f"[U+{code:04X}]" for code in _BIDI}
)
_IN_NAMES: Final = dict.fromkeys((*_CONTROLS, *_BIDI, *_MARKS)) | dict.fromkeys(_BREAKS, " ")

NAME_MAX: Final = 64


def clean_text(text: str) -> str:
    """The text with all its words, its lines ended by line feeds, and no hidden controls."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return storable(lines).translate(_IN_TEXT)


def clean_name(name: str) -> str:
    """A name as one short line, for display only."""
    return " ".join(storable(name.replace("\0", "")).translate(_IN_NAMES).split())[:NAME_MAX]
