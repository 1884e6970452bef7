"""Data formats: JSON made readable or small without changing one value, CSV, TOML, tables."""

import csv
import io
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any

from core.agents.tools.task import Cannot, Done, Outcome, Task

_DEPTH_MAX = 20
_LINES_MAX = 4_000
_FORMAT_NAMES = r"json|csv|toml|(?:markdown|md)(?:[ -]?table)?|tsv"
_ASKED = re.compile(
    r"(?:format|pretty[- ]?print|prettify|beautify|indent|tidy(?: up)?|validate|check|lint"
    r"|formatiere?|pr\u00fcfe?|is this|ist das)\b.{0,30}?\bjson\b"
    r"|json\s+(?:format|pretty|prettify|validate|check)\b",
    re.IGNORECASE,
)
_SMALL = re.compile(
    r"(?:minif\w+|compact|compress|uglify)\b.{0,30}?\bjson\b|json\s+(?:minify|compact)\b",
    re.IGNORECASE,
)
_CONVERT = re.compile(
    rf"(?:(?:convert|turn|change|transform|make|parse|wandle|konvertiere)\b.{{0,30}}?)?"
    rf"(?:\b(?P<source>{_FORMAT_NAMES}))?(?:\s+(?:data|file|list|table|daten|datei))?"
    rf"\s*(?:\b(?:to|into|in|as|2|nach|zu)\b|->)\s*(?:an?\s+|eine?\s+)?(?P<target>{_FORMAT_NAMES})\b",
    re.IGNORECASE,
)
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class Unreadable(Exception):
    """The material is not what it was said to be."""


def formats(task: Task) -> Outcome:
    """Lay out JSON, or convert between JSON, CSV, TOML and Markdown tables."""
    try:
        for pattern, layout in ((_ASKED, _readable), (_SMALL, _small)):
            if (match := pattern.match(task.ask)) is not None:
                text = task.subject(match)
                read_json(text)
                return Done("Lay out the JSON.", layout(text))
        match = _CONVERT.match(task.ask)
        return _converted(task, match) if match is not None else None
    except Unreadable as problem:
        return Cannot(str(problem))


def _converted(task: Task, match: re.Match[str]) -> Outcome:
    text = task.subject(match)
    target = match["target"].lower()[:4]
    source = (match["source"] or "").lower() or _guessed(text)
    reader, writer = _READERS.get(source), _WRITERS.get(target.removesuffix(" "))
    if reader is None or writer is None or not text.strip():
        return Cannot(
            "Conversion goes from JSON, CSV, TSV or TOML to JSON, CSV, TSV or a Markdown table."
        )
    return Done(f"Convert {source} to {match['target'].lower()}.", writer(reader(text)))


def _guessed(text: str) -> str:
    return "json" if text.lstrip().startswith(("[", "{")) else "csv"


def read_json(text: str) -> Any:
    """The value of strict JSON, not nested too deeply. Raises Unreadable."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as problem:
        raise Unreadable(
            f"This is not JSON: {problem.msg} at line {problem.lineno}, column {problem.colno}."
        ) from None
    except (ValueError, RecursionError):
        raise Unreadable("This JSON holds a number or a nesting beyond reason.") from None
    _check_depth(value)
    return value


def _no_constant(name: str) -> None:
    raise Unreadable(f"This is not JSON: it has no {name}.")


def _read_toml(text: str) -> Any:
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise Unreadable(f"This is not TOML: {problem}.") from None
    except (ValueError, RecursionError):
        raise Unreadable("This TOML holds a number or a nesting beyond reason.") from None
    _check_depth(value)
    return value


def _read_csv(text: str) -> list[dict[str, str]]:
    first = text.strip().splitlines()[0]
    separator = max(",;\t|", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text.strip()), delimiter=separator, strict=True))
    except csv.Error as problem:
        raise Unreadable(f"This is not CSV: {problem}.") from None
    header, *rest = [row for row in rows if row]
    names = [name.strip() for name in header]
    if len(set(names)) != len(names) or any(len(row) > len(names) for row in rest):
        raise Unreadable("The first line must name every column once, and no line may be longer.")
    if not rest:
        raise Unreadable("There is a line of names but no line of values.")
    return [dict(zip_longest(names, (v.strip() for v in row), fillvalue="")) for row in rest]


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEPTH_MAX):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    if level:
        raise Unreadable(f"This is nested more than {_DEPTH_MAX} levels deep.")


def _readable(text: str) -> str:
    """Valid JSON in lines, token for token: numbers, escapes, repeated names stay as they are."""
    lines, depth = [""], 0
    tokens = _JSON_TOKEN.findall(text)
    for token, following in zip_longest(tokens, tokens[1:], fillvalue=""):
        match token:
            case "{" | "[":
                depth += 1
                lines[-1] += token
                if following not in {"}", "]"}:
                    lines.append("  " * depth)
            case "}" | "]":
                depth -= 1
                if lines[-1][-1:] not in {"{", "["}:
                    lines.append("  " * depth)
                lines[-1] += token
            case ",":
                lines[-1] += token
                lines.append("  " * depth)
            case ":":
                lines[-1] += ": "
            case _:
                lines[-1] += token
    return "\n".join(lines)


def _small(text: str) -> str:
    return "".join(_JSON_TOKEN.findall(text))


def _write_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False, default=str)
    except ValueError:
        raise Unreadable("JSON has no infinite numbers.") from None


def _write_csv(value: Any, separator: str = ",") -> str:
    rows = _table(value)
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows(rows)
    return out.getvalue().rstrip("\n")


def _write_tsv(value: Any) -> str:
    return _write_csv(value, "\t")


def _write_markdown(value: Any) -> str:
    header, *rows = (
        [cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in _table(value)
    )
    body = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in body)


def _table(value: Any) -> list[list[str]]:
    """A list of objects as rows of text under a row of names."""
    records = [value] if isinstance(value, dict) else value
    if (
        not isinstance(records, list)
        or not records
        or not all(isinstance(r, dict) for r in records)
    ):
        raise Unreadable("A table needs a list of objects.")
    names = list(dict.fromkeys(name for record in records for name in record))
    if not names or len(names) * len(records) > _LINES_MAX:
        raise Unreadable(f"A table needs columns, and at most {_LINES_MAX} cells.")
    return [names, *([_cell(record.get(name, "")) for name in names] for record in records)]


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


_READERS: Mapping[str, Callable[[str], Any]] = {
    "json": read_json,
    "csv": _read_csv,
    "tsv": _read_csv,
    "toml": _read_toml,
}
_WRITERS: Mapping[str, Callable[[Any], str]] = {
    "json": _write_json,
    "csv": _write_csv,
    "tsv": _write_tsv,
    "mark": _write_markdown,
    "md": _write_markdown,
    "md t": _write_markdown,
}
