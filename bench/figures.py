"""What a part of the bench found, and the goal that each figure is held to.

A part is a module with `async def measure(effort) -> list[Figure]` that ends in
`if __name__ == "__main__": main(measure)`. It runs alone (`python -m bench.store`), and under
`bench/run.py`, which asks it for JSON.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to look: each figure is the median of `rounds`, a rate is taken over `seconds`."""

    rounds: int
    seconds: float
    rows: int  # what "large" is for the figures that must not depend on size


THOROUGH = Effort(rounds=3, seconds=1.0, rows=1_000_000)
QUICK = Effort(rounds=1, seconds=0.3, rows=100_000)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `at_least` or `at_most` is its goal, `detail` what it was made of."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    detail: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached; a figure without one is always good."""
        is_enough = self.at_least is None or self.value >= self.at_least
        return is_enough and (self.at_most is None or self.value <= self.at_most)


Measure = Callable[[Effort], Coroutine[Any, Any, list[Figure]]]


def main(measure: Measure) -> None:
    """The command line of a part: `--quick` looks only once, `--json` is for `bench/run.py`."""
    figures = asyncio.run(measure(QUICK if "--quick" in sys.argv else THOROUGH))
    if "--json" in sys.argv:
        print(json.dumps([asdict(figure) for figure in figures]))
    else:
        print(table(figures))


def table(figures: Sequence[Figure]) -> str:
    """One line for each figure."""
    rows = [("what", "figure", "goal", "", "made of")]
    rows += [
        (each.name, f"{_short(each.value)} {each.unit}", _goal(each), _verdict(each), each.detail)
        for each in figures
    ]
    name, figure, goal = (max(len(row[column]) for row in rows) for column in range(3))
    return "\n".join(
        f"{row[0]:{name}}  {row[1]:>{figure}}  {row[2]:>{goal}}  {row[3]:6}  {row[4]}".rstrip()
        for row in rows
    )


def _goal(figure: Figure) -> str:
    if figure.at_least is not None:
        return f">= {_short(figure.at_least)}"
    return "" if figure.at_most is None else f"<= {_short(figure.at_most)}"


def _verdict(figure: Figure) -> str:
    if figure.at_least is None and figure.at_most is None:
        return ""
    return "met" if figure.is_met else "MISSED"


def _short(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
