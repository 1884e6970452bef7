"""The Markdown of a model as text and formatting, nothing of it lost.

telegramify-markdown reads it. What it or Markdown itself would swallow (HTML, entities, link
definitions, numbers of lists) is shown as it was typed; where a word would still be missing, the
whole text is. Links are shown as the addresses that they lead to. A line that looks like a line of
ours about money gets a mark in front, so that nobody takes it for one.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from telegramify_markdown import MessageEntity, RenderConfig, convert

from bots.clean import clean_text
from bots.styled import Span, Styled, insert, offsets

QUOTED: Final = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "

_SWALLOWED: Final = re.compile(
    r"(?<!\\)[<&$]"  # HTML, entities and formulas; after a backslash they are text already
    r"|(?<=\]):"  # the definition of a link
    r"|\|(?=\|)|(?<=\|)\|"  # hides what stands between two pairs of bars
    r"|(?<!~)~(?!~)"  # "about", but the library parses anew for each (quadratic, measured)
)
_FENCE_LANGUAGE: Final = re.compile(
    r"(?m)^((?:[ \t>]|[-*+][ \t]|\d+[.)][ \t])*(?:`{3,}|~{3,}))[^\s`,]*"
)
# The library's output grows with the square of this nesting: 20 kB became 17 MB (measured, 1.4.1).
_TOO_DEEP: Final = re.compile(r"(?m)^(?:[ \t]*(?:>|[-*+]|\d+[.)])){20}")
_NAMED_AS_ITSELF: Final = re.compile(r"\[([^\]\n]{1,500})\]\(\1\)")  # such a link is shown once
_PRIVATE_USE: Final = range(0xE000, 0xF900)
_STYLES: Final = frozenset(
    {"bold", "italic", "underline", "strikethrough", "code", "pre", "blockquote"}
)
_CHECKED: Final = "\u2713\u2714"
_AMOUNT: Final = r"\d[\d.,'\u00a0\u202f ]*sats?\b"
_LIKE_OURS: Final = re.compile(
    rf"(?m)^(?!{QUOTED})(?=[^\n]*[{_CHECKED}]"
    rf"|[^\w\n]*(?:#[0-9A-HJKMNP-TV-Z]{{4}}\b|{_AMOUNT}[^\n]*\u00b7))"
)


def render(markdown: str) -> Styled:
    """What this Markdown looks like in a chat."""
    source = clean_text(markdown)
    if _TOO_DEEP.search(source):
        return _guarded(Styled(source))
    styled = _formatted(source)
    is_whole = bool(styled.text.strip()) and _says_all(source, styled.text)
    return _guarded(styled if is_whole else Styled(source))


def plain(text: str) -> Styled:
    """A model's text as it stands, as for `render`."""
    return _guarded(Styled(clean_text(text)))


def continued(part: Styled) -> Styled:
    """A part that begins a message, where a line may begin that was none before it was cut."""
    is_code = any(span.kind == "pre" and span.start == 0 for span in part.spans)
    return insert(part, [(0, QUOTED)] if _LIKE_OURS.match(part.text) and not is_code else [])


def _formatted(source: str) -> Styled:
    present = set(source)
    spare = (chr(code) for code in _PRIVATE_USE if chr(code) not in present)
    stand_ins = dict(zip("<&$:|~", spare, strict=False))
    if len(stand_ins) < 6:  # a text full of private characters has nothing to format
        return Styled(source)
    hidden = _SWALLOWED.sub(lambda match: stand_ins[match.group()], source)
    text, entities = convert(hidden, latex_escape=False, config=_look())
    at = offsets(text)
    real = text.translate({ord(stand_in): sign for sign, stand_in in stand_ins.items()})
    places = [(bisect_left(at, e.offset), bisect_left(at, e.offset + e.length)) for e in entities]
    spans = tuple(
        Span(entity.type, start, end, _language(entity))
        for entity, (start, end) in zip(entities, places, strict=True)
        if entity.type in _STYLES
    )
    targets = [
        (end, f" ({url})")
        for entity, (start, end) in zip(entities, places, strict=True)
        if (url := _target(entity, stand_ins)) and url != real[start:end]
    ]
    return insert(Styled(real, _without_inner_quotes(spans)), targets)


def _look() -> RenderConfig:
    look = RenderConfig.isolated()
    look.cite_expandable = False  # it would fold a long quotation away
    symbols = look.markdown_symbol
    symbols.heading_level_1 = symbols.heading_level_2 = ""
    symbols.heading_level_3 = symbols.heading_level_4 = ""
    symbols.image = ""
    symbols.unordered_list_item = "\N{BULLET}"
    symbols.task_completed = "\N{BALLOT BOX WITH CHECK}"
    symbols.task_uncompleted = "\N{BALLOT BOX}"
    return look


def _language(entity: MessageEntity) -> str | None:
    words = (entity.language or "").split()
    return words[0] if words else None


def _target(entity: MessageEntity, stand_ins: dict[str, str]) -> str:
    url = entity.url or ""
    for sign, stand_in in stand_ins.items():
        url = url.replace(stand_in, sign)
    return url


def _without_inner_quotes(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Telegram knows no quotation in a quotation; of several the outermost stays."""
    quotes = sorted(
        (span for span in spans if span.kind == "blockquote"),
        key=lambda span: (span.start, -span.end),
    )
    outer: list[Span] = []
    for quote in quotes:
        if not outer or quote.start >= outer[-1].end:
            outer.append(quote)
    return tuple(span for span in spans if span.kind != "blockquote" or span in outer)


def _says_all(source: str, text: str) -> bool:
    """Whether all words, numbers and signs of the source stand in the text, in the same order."""
    expected = _NAMED_AS_ITSELF.sub(r"\1", _FENCE_LANGUAGE.sub(r"\1", source))
    shown = iter(text)
    return all(sign in shown for sign in _signs(expected))


def _signs(source: str) -> Iterator[str]:
    return (sign for sign in source if sign.isalnum() or (sign > "\x7f" and not sign.isspace()))


def _guarded(styled: Styled) -> Styled:
    blocks = [span for span in styled.spans if span.kind == "pre"]
    return insert(
        styled,
        (
            (match.start(), QUOTED)
            for match in _LIKE_OURS.finditer(styled.text)
            if not any(block.start <= match.start() < block.end for block in blocks)
        ),
    )
