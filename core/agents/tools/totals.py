"""One number from many: sum, product, average, median, least and greatest."""

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from core.agents.tools.numbers import equals, read_number
from core.agents.tools.task import Cannot, Done, Outcome, Task

_ASKED = re.compile(
    r"(?:(?:calculate|compute|find|give me|what(?:'s| is)|was ist|berechne)\s+)?"
    r"(?:the\s+|die\s+|den\s+|das\s+)?"
    r"(?P<kind>sum|total|add(?: up)?|summe|addiere|product|produkt|average|mean|durchschnitt"
    r"|mittelwert|median|minimum|smallest|least|kleinste|maximum|largest|greatest|gr\u00f6\u00dfte)"
    r"(?:\s+(?:number|value|zahl))?\b",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"[;\s]+(?:and\s+|und\s+)?|,\s+(?:and\s+|und\s+)?")
_NUMBERS_MAX = 1_000
_BITS_MAX = 13_000
_KINDS: Mapping[str, tuple[str, Callable[[Sequence[Fraction]], Fraction]]] = {
    "sum total add": ("sum", lambda values: sum(values, Fraction())),
    "prod": ("product", lambda values: math.prod(values, start=Fraction(1))),
    "average mean durch mittel": ("average", statistics.mean),
    "median": ("median", statistics.median),
    "minimum smallest least kleinste": ("minimum", min),
    "maximum largest greatest gr": ("maximum", max),
}


def total(task: Task) -> Outcome:
    """Work out one number from a list of numbers."""
    match = _ASKED.match(task.ask)
    if match is None:
        return None
    text = task.subject(match).rstrip("?. ")
    words = _BETWEEN.split(text) if _BETWEEN.search(text) else text.split(",")
    numbers = [read_number(word) for word in words if word]
    values = [number for number in numbers if number is not None]
    if not values or len(values) != len(numbers):
        return None
    if len(values) > _NUMBERS_MAX:
        return Cannot(f"At most {_NUMBERS_MAX} numbers are taken together here.")
    kind = match["kind"].lower()
    name, work = next(
        entry for begins, entry in _KINDS.items() if kind.startswith(tuple(begins.split()))
    )
    result = Fraction(work(values))
    if max(result.numerator.bit_length(), result.denominator.bit_length()) > _BITS_MAX:
        return Cannot("The result is too large to be written here.")
    return Done(f"Work out the {name}.", f"{name} {equals(result)}")
