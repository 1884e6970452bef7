"""The difference of two texts, line by line, in the form of `diff -u`."""

import difflib
import re

from core.agents.tools.task import Cannot, Done, Outcome, Task

_LINES_MAX = 400
_ASKED = re.compile(
    r"(?:diff|compare|vergleiche?)\b|(?:show |what is |what are |zeige? )?(?:me )?"
    r"(?:the |den |die )?(?:differences?|unterschiede?)\b",
    re.IGNORECASE,
)
_BORDER = re.compile(r"\n[ \t]*(?:-{3,}|={3,}|\*{3,}|vs\.?|and|und)[ \t]*\n", re.IGNORECASE)


def compare(task: Task) -> Outcome:
    """Show what changed between two texts."""
    if _ASKED.match(task.ask) is None:
        return None
    parts = list(task.quotes[:2]) if len(task.quotes) >= 2 else _parts(task.material)
    if len(parts) != 2:
        return Cannot("Two texts are needed: put a line of three dashes between them.")
    first, second = (part.strip("\n").splitlines() for part in parts)
    if max(len(first), len(second)) > _LINES_MAX:
        return Cannot(f"Texts of more than {_LINES_MAX} lines are not compared here.")
    lines = list(difflib.unified_diff(first, second, "first", "second", lineterm=""))
    return Done("Compare two texts.", "\n".join(lines) or "The two texts are the same.")


def _parts(material: str) -> list[str]:
    parts = _BORDER.split(material)
    return parts if len(parts) == 2 else re.split(r"\n[ \t]*\n", material)
