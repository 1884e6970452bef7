"""Numbers as people write them, read exactly and shown exactly where that is possible."""

import re
from decimal import Context, Decimal, Inexact
from fractions import Fraction

NUMBER = (
    r"(?:\d{1,3}(?:,\d{3}){1,20}(?:\.\d{1,60})?"  # 1,234,567.89
    r"|\d{1,3}(?:\.\d{3}){1,20},\d{1,60}"  # 1.234.567,89
    r"|\d{1,3}(?:\.\d{3}){2,20}"  # 1.234.567
    r"|\d{1,400}(?:[.,]\d{1,400})?|\.\d{1,400})"  # 3.14, and 3,14 as Germans write it
    r"(?![\d.,]*\d)(?:[eE][+-]?\d{1,3}(?!\w))?"
)
_WHOLE = re.compile(r"\s*([+-]?)\s*(" + NUMBER + r")\s*")
_GROUPED_ENGLISH = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_GROUPED_GERMAN = re.compile(r"\d{1,3}(?:\.\d{3})+(?:,\d+)|\d{1,3}(?:\.\d{3}){2,}")
_CHARS_MAX = 900
_EXACT_DIGITS = 30
_ROUNDED_DIGITS = 15


def read_number(text: str) -> Fraction | None:
    """The number that this text is, None if it is none. A comma alone is a decimal comma.

    Only `1,234` is taken as a thousand: three digits behind each comma.
    """
    whole = _WHOLE.fullmatch(text) if len(text) <= _CHARS_MAX else None
    if whole is None:
        return None
    digits, e, power = whole[2].lower().partition("e")
    if _GROUPED_ENGLISH.fullmatch(digits):
        digits = digits.replace(",", "")
    elif _GROUPED_GERMAN.fullmatch(digits):
        digits = digits.replace(".", "").replace(",", ".")
    return Fraction(whole[1] + digits.replace(",", ".") + e + power)


def show(value: Fraction) -> tuple[str, bool]:
    """The number in digits, and whether these are exact."""
    if value.denominator == 1:
        return str(value.numerator), True
    for digits in (_EXACT_DIGITS, _ROUNDED_DIGITS):
        context = Context(prec=digits)
        shown = context.divide(Decimal(value.numerator), Decimal(value.denominator))
        is_exact = not context.flags[Inexact]
        if is_exact:
            break
    text = format(shown, "f") if -20 <= shown.adjusted() <= 40 else str(shown)
    if "." in text and "E" not in text:
        text = text.rstrip("0").rstrip(".")
    return text, is_exact


def equals(value: Fraction) -> str:
    """`= 4`, or the sign for "about" and the rounded digits."""
    text, is_exact = show(value)
    return f"= {text}" if is_exact else f"\u2248 {text}"
