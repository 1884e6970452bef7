"""Whole numbers in other bases: binary, octal, decimal, hexadecimal, and as the Romans wrote."""

import re
from collections.abc import Callable, Mapping

from core.agents.tools.task import Cannot, Done, Outcome, Task

_NUMBER = r"(?P<number>0x[\da-f]{1,400}|0b[01]{1,400}|0o[0-7]{1,400}|\d{1,400})"
_ASKED = re.compile(
    r"(?:(?:convert|write|express|what is|was ist|wandle|schreibe?)\s+)?"
    rf"{_NUMBER}\s+(?:to|in|into|as|nach|als)\s+(?:a\s+)?"
    r"(?P<base>bin(?:ary)?|bin\u00e4r|octal|oct|oktal|decimal|dezimal|hex(?:adecimal|adezimal)?"
    r"|roman|r\u00f6misch\w*)\b",
    re.IGNORECASE,
)
_ROMANS = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"),
    (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


def change_base(task: Task) -> Outcome:
    """Write a whole number in another base."""
    match = _ASKED.match(task.material if task.material and len(task.line) < 12 else task.ask)
    if match is None:
        return None
    digits = match["number"].lower()
    number = int(digits, 0 if digits[:2] in {"0x", "0b", "0o"} else 10)
    base = match["base"][0].lower()
    if base == "r" and not 1 <= number < 4_000:
        return Cannot("Roman numerals go from 1 to 3999.")
    return Done("Write the number in another base.", _WRITERS[base](number))


def _roman(number: int) -> str:
    numerals = ""
    for value, letters in _ROMANS:
        times, number = divmod(number, value)
        numerals += letters * times
    return numerals


_WRITERS: Mapping[str, Callable[[int], str]] = {
    "b": bin,
    "o": oct,
    "d": str,
    "h": hex,
    "r": _roman,
}
