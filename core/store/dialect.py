"""PostgreSQL's words for the SQL that SQLite runs, and what the driver has to know of a statement.

`:name` becomes `$n`, and the conditional comment `/*pg ... */` is opened. The rest is common to
both databases; see `core/store/port.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_CONDITIONAL = re.compile(r"/\*pg (.*?)\*/")
_PLAIN_INSERT = re.compile(r"INSERT INTO (\w+) \([^()]*\) VALUES \([^()]*\)")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement in PostgreSQL's words."""

    text: str
    parameters: tuple[str, ...]
    words: frozenset[str]
    inserts_into: str | None
    """The table of a plain INSERT, which adds exactly one row or fails; else None."""

    @property
    def is_query(self) -> bool:
        """Whether it cannot change anything."""
        return self.text.lstrip().startswith("SELECT")

    def order(self, values: Mapping[str, object]) -> list[object]:
        """The values of `$1`, `$2`, ..."""
        return [values[name] for name in self.parameters]


@cache
def translate(sql: str) -> Statement:
    """The statement in PostgreSQL's words; statements are literals, so they are few."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    text = _PARAMETER.sub(number, _CONDITIONAL.sub(r"\1", sql))
    plain = _PLAIN_INSERT.fullmatch(text)
    return Statement(
        text,
        parameters=tuple(names),
        words=frozenset(re.findall(r"\w+", text)),
        inserts_into=plain.group(1) if plain else None,
    )
