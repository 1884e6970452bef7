"""One strict reader for every JSON text that strangers send.

What it lets through means the same to every reader: UTF-8, no name twice in one object, no number
that is not one, nothing that a database would refuse or change. RFC 8259 leaves all of these to the
implementation; `json.loads` accepts NaN and 1e999, keeps the last of two equal names, raises
RecursionError on deep nesting and ValueError on long integers (measured, Python 3.11).
"""

import json
import math
import re
from collections import Counter
from typing import NoReturn

from core.values.errors import InvalidRequest

DEPTH_MAX = 32
INTEGER_MAX = 2**63 - 1

JsonValue = str | int | float | bool | list["JsonValue"] | dict[str, "JsonValue"] | None

# A string, also one that never ends, or one bracket; possessive, so no input makes it backtrack.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_UNSAFE = re.compile("[\0\ud800-\udfff]")


def decode(raw: bytes) -> JsonValue:
    """The value of a JSON text. Raises InvalidRequest, with a pointer where one can be told."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise InvalidRequest(f"The body is not UTF-8 (byte {fault.start}).") from None
    _refuse_depth(text)
    try:
        value: JsonValue = _DECODER.decode(text)
    except json.JSONDecodeError as fault:
        raise InvalidRequest(
            f"The body is not JSON: {fault.msg} (line {fault.lineno}, column {fault.colno})."
        ) from None
    if "\\u" in text:  # only an escape can smuggle in what UTF-8 and JSON forbid in plain sight
        _refuse_unsafe(value, "")
    return value


def refuse_unsafe_text(text: str, pointer: str) -> None:
    """Raise InvalidRequest if `text` holds NUL or half of a surrogate pair."""
    if _UNSAFE.search(text):
        raise InvalidRequest("Text holds NUL or a lone surrogate.", pointer=pointer)


def pointer_to(*steps: str | int) -> str:
    """The JSON pointer (RFC 6901) of these member names and indexes."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _refuse_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= DEPTH_MAX:  # most texts: no need to read on
        return
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        match token[0]:
            case "[" | "{":
                depth += 1
                if depth > DEPTH_MAX:
                    raise InvalidRequest(f"The body is nested deeper than {DEPTH_MAX} levels.")
            case "]" | "}":
                depth -= 1


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise InvalidRequest(f"The name {json.dumps(twice[:40])} stands twice in one object.")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequest(f"{name} is not a JSON number.")


def _float(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise InvalidRequest("A number is too large.")
    return number


def _integer(literal: str) -> int:
    # The length first: int() itself raises ValueError above 4,300 digits.
    if len(literal) > 20 or abs(int(literal)) > INTEGER_MAX:
        raise InvalidRequest("An integer is too large.")
    return int(literal)


def _refuse_unsafe(value: JsonValue, pointer: str) -> None:
    match value:
        case str():
            refuse_unsafe_text(value, pointer)
        case list():
            for index, item in enumerate(value):
                _refuse_unsafe(item, pointer + pointer_to(index))
        case dict():
            for name, item in value.items():
                refuse_unsafe_text(name, pointer)
                _refuse_unsafe(item, pointer + pointer_to(name))


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_constant=_refuse_constant,
    parse_float=_float,
    parse_int=_integer,
)
