"""Lists: sort, remove duplicates, turn around, number. A list leaves in the style it came in."""

import re
import unicodedata
from fractions import Fraction

from core.agents.tools.numbers import read_number
from core.agents.tools.task import Cannot, Done, Outcome, Task

_OPTION = (
    r"(?:\s+(?:alphabetically|alphabetisch|numerically|numerisch|descending|ascending|absteigend"
    r"|aufsteigend|reversed?|r\u00fcckw\u00e4rts|in (?:alphabetical|reverse|descending|ascending)"
    r" order|by length|nach l\u00e4nge))*"
)
_SORT = re.compile(
    r"(?:sort(?:iere|ier)?|alphabeti[sz]e|order|ordne|arrange)\b"
    + _OPTION
    + r"|(?:put|bring)\b.{0,60}?\balphabeti\w+ (?:order|reihenfolge)",
    re.IGNORECASE,
)
_DEDUPE = re.compile(
    r"(?:de-?dup(?:e|licate)?|uniq(?:ue)?"
    r"|(?:remove|delete|drop|entferne|l\u00f6sche)\b.{0,40}?\b(?:duplicates?|duplikate|doppelte\w*)"
    r"(?:\s+(?:lines?|names?|words?|items?|zeilen|namen|eintr\u00e4ge))?)\b",
    re.IGNORECASE,
)
_REVERSE = re.compile(
    r"(?:reverse|kehre|drehe)\b(?:\s+(?:the|die))?\s+(?:(?:order|reihenfolge)(?:\s+(?:of|der))?"
    r"|(?=(?:these |this |diese |the )?"
    r"(?:list|names|lines|words|items|numbers|liste|namen|zeilen)\b))",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?:number|nummeriere)\s+(?=(?:these|the|my|diese|die)\b|(?:lines|items|zeilen))"
    r"|(?:add|f\u00fcge)\b.{0,20}?\b(?:line numbers|zeilennummern)\b",
    re.IGNORECASE,
)
_DOWNWARDS = re.compile(
    r"descend|absteigend|revers|r\u00fcckw\u00e4rts|z\s*(?:-|to|bis)\s*a\b"
    r"|(?:larg|long|high|bigg)est (?:first|to)",
    re.IGNORECASE,
)
_BY_LENGTH = re.compile(r"\blength|\bl\u00e4nge|longest|shortest", re.IGNORECASE)
_WITHOUT_DOUBLES = re.compile(r"unique|duplicate|duplikat|doppelt", re.IGNORECASE)
_AND = re.compile(r"\s*,\s*(?:and\s+|und\s+)?|\s+(?:and|und)\s+", re.IGNORECASE)


def lists(task: Task) -> Outcome:
    """Sort, dedupe, turn around or number a list of lines, names or words."""
    for pattern, work in (
        (_SORT, _sort),
        (_DEDUPE, _dedupe),
        (_REVERSE, _reverse),
        (_NUMBER, _number),
    ):
        match = pattern.match(task.ask)
        if match is None:
            continue
        items, joint = _items(task, match)
        if not items:
            return Cannot("There is no list to work on: put the items after a colon or on lines.")
        return work(task.ask, items, joint)
    return None


def _items(task: Task, match: re.Match[str]) -> tuple[list[str], str]:
    """The items and what joins them again."""
    if not task.material and len(task.quotes) > 1:
        return list(task.quotes), ", "
    text = task.subject(match)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1:
        return lines, "\n"
    line = lines[0].removesuffix(".") if lines else ""
    if "," in line:
        return [item.strip() for item in _AND.split(line) if item.strip()], ", "
    if ";" in line:
        return [item.strip() for item in line.split(";") if item.strip()], "; "
    return line.split(), " "


def _sort(ask: str, items: list[str], joint: str) -> Outcome:
    if _WITHOUT_DOUBLES.search(ask):
        items = list(dict.fromkeys(items))
    numbers = [read_number(item) for item in items]
    if _BY_LENGTH.search(ask):
        items = sorted(items, key=len)
    elif all(number is not None for number in numbers):
        pairs = zip((number or Fraction() for number in numbers), items, strict=True)
        items = [item for _, item in sorted(pairs, key=lambda pair: pair[0])]
    else:
        items = sorted(items, key=_alphabetical)
    if _DOWNWARDS.search(ask):
        items.reverse()
    return Done(f"Sort {len(items)} items.", joint.join(items))


def _dedupe(_ask: str, items: list[str], joint: str) -> Outcome:
    unique = list(dict.fromkeys(items))
    return Done(f"Keep the {len(unique)} different ones of {len(items)} items.", joint.join(unique))


def _reverse(_ask: str, items: list[str], joint: str) -> Outcome:
    return Done(f"Turn {len(items)} items around.", joint.join(reversed(items)))


def _number(_ask: str, items: list[str], _joint: str) -> Outcome:
    rows = (f"{place}. {item}" for place, item in enumerate(items, 1))
    return Done(f"Number {len(items)} items.", "\n".join(rows))


def _alphabetical(item: str) -> tuple[str, str]:
    """People's order: case and accents count only between otherwise equal words."""
    plain = unicodedata.normalize("NFKD", item).casefold()
    return "".join(c for c in plain if not unicodedata.combining(c)), item
