"""Text with formatting beside it, counted as Telegram counts.

Telegram measures texts, and where their formatting begins and ends, in UTF-16 units: what lies
above U+FFFF takes two. Here spans are counted in characters, and turned into units at the edge.
Limits: https://core.telegram.org/bots/api#sendmessage and `telegram.constants`.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

TEXT_MAX: Final = 4096
CAPTION_MAX: Final = 1024
SPANS_MAX: Final = 100

_JOINER: Final = "\N{ZERO WIDTH JOINER}"
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)


@dataclass(frozen=True, slots=True)
class Span:
    """A formatting from the character `start` up to `end`; `kind` is Telegram's word for it."""

    kind: str
    start: int
    end: int
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Styled:
    """A text and its formatting."""

    text: str
    spans: tuple[Span, ...] = ()

    @property
    def units(self) -> int:
        """How long Telegram says that this is."""
        return units(self.text)


def units(text: str) -> int:
    """The length in UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text)


def offsets(text: str) -> list[int]:
    """Where each character begins in UTF-16 units, and where the last one ends."""
    return list(accumulate((1 + (c > "\uffff") for c in text), initial=0))


def insert(styled: Styled, additions: Iterable[tuple[int, str]]) -> Styled:
    """The same with more text in it: what stood at a position now comes after its addition."""
    ordered = sorted(additions)
    places = [place for place, _ in ordered]
    growth = list(accumulate((len(addition) for _, addition in ordered), initial=0))
    pieces, last = [], 0
    for place, addition in ordered:
        pieces += [styled.text[last:place], addition]
        last = place
    spans = tuple(
        replace(
            span,
            start=span.start + growth[bisect_right(places, span.start)],
            end=span.end + growth[bisect_right(places, span.end - 1)],
        )
        for span in styled.spans
    )
    return Styled("".join([*pieces, styled.text[last:]]), spans)


def join(parts: Sequence[Styled], between: str) -> Styled:
    """One text of several, empty ones left out."""
    text, spans = "", []
    for part in parts:
        if not part.text.strip():
            continue
        text += between if text else ""
        start = len(text)
        spans += [
            replace(span, start=span.start + start, end=span.end + start) for span in part.spans
        ]
        text += part.text
    return Styled(text, tuple(spans))


def split(styled: Styled, units_max: int = TEXT_MAX) -> list[Styled]:
    """The text in parts that Telegram takes: at most `units_max` units and 100 formattings each.

    Cuts lie between paragraphs where there are some, else between lines, else between words. A
    block of code stays whole where it fits into a part; otherwise its formatting ends with the part
    and begins again in the next. Only blank space at the cuts is left out.
    """
    at = offsets(styled.text)
    parts, start = [], 0
    while start < len(styled.text):
        limit = bisect_right(at, at[start] + units_max) - 1
        limit = min([limit, *_starts_too_many(styled.spans, start)])
        end = limit if limit == len(styled.text) else _cut(styled, start, limit)
        part = _part(styled, start, end)
        if part.text:
            parts.append(part)
        start = end
    return parts


def _starts_too_many(spans: Sequence[Span], start: int) -> list[int]:
    """Where those formattings begin that are too many for a part that begins at `start`."""
    begins = sorted(span.start for span in spans if span.end > start)
    return [begin for begin in begins[SPANS_MAX:] if begin > start]


def _cut(styled: Styled, start: int, limit: int) -> int:
    text = styled.text
    half = start + (limit - start) // 2
    blocks = [span for span in styled.spans if span.kind == "pre"]
    for separator in ("\n\n", "\n"):
        place = _last_outside(text, separator, half, limit, blocks)
        if place:
            return place
    block = next((block for block in blocks if block.start < limit < block.end), None)
    if block and block.start > start and units(text[block.start : block.end]) <= TEXT_MAX:
        return block.start
    for separator in ("\n", " "):
        place = text.rfind(separator, half, limit)
        if place > start:
            return place + 1
    return _between_signs(text, half, limit)


def _last_outside(text: str, separator: str, low: int, high: int, blocks: list[Span]) -> int | None:
    """The end of the last separator that no block of code holds."""
    while (place := text.rfind(separator, low, high)) > low:
        end = place + len(separator)
        block = next((block for block in blocks if block.start < end < block.end), None)
        if block is None:
            return end
        high = block.start
    return None


def _between_signs(text: str, low: int, limit: int) -> int:
    """A place at or before the limit that leaves what is seen as one sign, such as 👍🏽, whole."""
    for place in range(limit, low, -1):
        is_one = (
            unicodedata.category(text[place]) in {"Mn", "Me", "Mc"}
            or ord(text[place]) in _SKIN_TONES
            or _JOINER in text[place - 1 : place + 1]
        )
        if not is_one:
            return place
    return max(limit, low + 1)


def _part(styled: Styled, start: int, end: int) -> Styled:
    raw = styled.text[start:end]
    text = raw.rstrip().lstrip("\n")
    start += len(raw.rstrip()) - len(text)
    end = start + len(text)
    spans = [
        replace(span, start=max(span.start, start) - start, end=min(span.end, end) - start)
        for span in styled.spans
        if span.start < end and span.end > start
    ]
    return Styled(text, tuple(spans[:SPANS_MAX]))
