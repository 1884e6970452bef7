"""How a letter looks in a terminal. Pure.

Text is wrapped to the screen's width, but neither code nor an invoice, which have to be copied
whole. Whatever others wrote is cleaned first: a terminal obeys control characters.
"""

import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from bots.clean import clean_text
from bots.markup import plain
from bots.qr import half_blocks, invoice_code
from core.values.mail import INVOICE, Bill, Button, Content, Copy, Link, Note, Result, Row

PREVIEW_LINES: Final = 8  # of an answer that is being made, its end

_BLACK_ON_WHITE: Final = "\x1b[38;5;231;48;5;16m"  # whatever the terminal's own colours are
_BOLD: Final = "\x1b[1m"
_FAINT: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"
_FENCE: Final = "```"
_INDENT: Final = "    "

Number = Callable[[Button], int]  # under which a button is pressed


@dataclass(frozen=True, slots=True)
class Face:
    """What a screen can show."""

    width: int
    has_ansi: bool

    def bold(self, text: str) -> str:
        """The text, standing out."""
        return f"{_BOLD}{text}{_PLAIN}" if self.has_ansi else text

    def faint(self, text: str) -> str:
        """The text, standing back."""
        return f"{_FAINT}{text}{_PLAIN}" if self.has_ansi else text


def drawn(content: Content, face: Face, number: Number) -> str:
    """What is said, and its buttons with their numbers."""
    match content:
        case Note():
            said = wrapped(clean_text(content.text), face.width)
        case Bill():
            said = _with_invoice(content, face)
        case Result():
            said = _result(content, face)
        case _:
            assert_never(content)
    return "\n".join([said.strip("\n"), *_buttons(content.buttons, face, number)])


def wrapped(text: str, width: int) -> str:
    """The text in lines of this width; blocks of code stay as they are, and so do long words."""
    lines, is_code = [], False
    for line in text.split("\n"):
        is_fence = line.lstrip().startswith(_FENCE)
        is_code ^= is_fence
        if is_code or is_fence or line.startswith((_INDENT, "\t")):
            lines.append(line)
        else:
            lines += _folded(line, width, breaks_words=False)
    return "\n".join(lines)


def end_of(text: str, face: Face) -> list[str]:
    """The last lines of an answer so far, none of them wider than the screen."""
    lines = [
        part
        for line in plain(text).text.expandtabs(4).split("\n")
        for part in _folded(line, face.width - 1, breaks_words=True)
    ]
    return [_narrowed(line, face.width - 1) for line in lines[-PREVIEW_LINES:]]


def _folded(line: str, width: int, *, breaks_words: bool) -> Sequence[str]:
    folded = textwrap.wrap(
        line,
        width,
        break_long_words=breaks_words,
        break_on_hyphens=False,
        expand_tabs=False,
        replace_whitespace=False,
    )
    return folded or [""]


def _narrowed(line: str, width: int) -> str:
    """The beginning of a line that fits; signs such as those of Chinese are two columns wide."""
    columns = 0
    for place, sign in enumerate(line):
        columns += 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        if columns > width:
            return line[:place]
    return line


def _with_invoice(bill: Bill, face: Face) -> str:
    before, _, after = clean_text(bill.text).partition(INVOICE)
    parts = [
        wrapped(before.strip("\n"), face.width),
        *_code(bill.bolt11, face),
        bill.bolt11,
        wrapped(after.strip("\n"), face.width),
    ]
    return "\n\n".join(part for part in parts if part)


def _code(bolt11: str, face: Face) -> Sequence[str]:
    """The invoice's code; none where it is wider than the screen."""
    lines = half_blocks(invoice_code(bolt11))
    if len(lines[0]) > face.width:
        return []
    if face.has_ansi:
        lines = [f"{_BLACK_ON_WHITE}{line}{_PLAIN}" for line in lines]
    return ["\n".join(lines)]


def _result(result: Result, face: Face) -> str:
    parts = [
        face.faint(clean_text(result.head)) if result.head else "",
        wrapped(plain(result.markdown).text.strip("\n"), face.width),
        face.faint(wrapped(clean_text(result.foot), face.width)) if result.foot else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _buttons(rows: Sequence[Row], face: Face, number: Number) -> Sequence[str]:
    """A line for each row; a page's address and a text to copy stand on lines of their own."""
    lines: list[str] = []
    for row in rows:
        pressed = []
        for key in row:
            match key:
                case Button(label):
                    pressed.append(f"{face.bold(f'[{number(key)}]')} {clean_text(label)}")
                case Link(label, target) | Copy(label, target):
                    lines.append(f"{clean_text(label)}: {clean_text(target)}")
                case _:
                    assert_never(key)
        if pressed:
            lines.append("   ".join(pressed))
    return lines
