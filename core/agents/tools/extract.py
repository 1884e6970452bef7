"""Pick things out of a text: e-mail addresses, links, numbers, dates, hashtags, mentions."""

import re
from collections.abc import Callable, Mapping

from core.agents.tools.numbers import NUMBER
from core.agents.tools.task import Cannot, Done, Outcome, Task

_THINGS = (
    r"(?P<thing>e-?mails?|links?|urls?|numbers?|zahlen|hash ?tags?|mentions?|dates?|daten"
    r"|(?:tele)?phone numbers?|telefonnummern|invoices?|rechnungen|ip(?:s|\b))"
)
_ASKED = re.compile(
    rf"(?:what|which|welche|extract|find|list|get|pull out|pick out|collect|show(?: me)?"
    rf"|extrahiere|finde|suche)\b"
    rf"(?:\s+(?:all|every|the|me|alle|die))*\s+{_THINGS}(?:[- ]?(?:address(?:es)?|adressen?))?\b"
    rf"(?:\s+(?:are|is|stehen|sind))?(?:\s+(?:mentioned|contained))?",
    re.IGNORECASE,
)
_BREAKS = re.compile(r"[\s<>(),;\"'\[\]{}|\u201c\u201d\u201e\u00ab\u00bb]+")
_EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,10}")
_URL = re.compile(r"(?:https?://|www\.)\S{1,2000}", re.IGNORECASE)
_TAG = re.compile(r"#\w{1,100}")
_MENTION = re.compile(r"@\w{1,100}")
_INVOICE = re.compile(
    r"(?:lightning:)?(ln(?:bc|tb|tbs|bcrt)\d*[munp]?1[02-9ac-hj-np-z]{50,2000})", re.IGNORECASE
)
_IP = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}")
_NUMBERS = re.compile(rf"(?<![\w.,])[-+]?(?:{NUMBER})(?![\w])")
_PHONE = re.compile(r"(?<![\w+])(?:\+|0)\d[\d ()/-]{5,18}\d(?!\w)")
_DATE = re.compile(
    r"(?<!\d)(?:\d{4}-\d{2}-\d{2}|\d{1,2}\.\d{1,2}\.\d{4}|\d{1,2}/\d{1,2}/\d{4})(?!\d)"
)


def extract(task: Task) -> Outcome:
    """List what of one kind stands in a text, each once, in order."""
    match = _ASKED.match(task.ask)
    if match is None:
        return None
    text = task.subject(match)
    if not text:
        return Cannot("There is no text to search: put it after a colon or on the next lines.")
    kind = next(kind for kind in _FINDERS if match["thing"].lower().startswith(tuple(kind.split())))
    found = dict.fromkeys(_FINDERS[kind](text))
    if not found:
        return Cannot(f"The text holds no {match['thing'].lower()}.")
    return Done(f"List the {len(found)} found.", "\n".join(found))


def _words(pattern: re.Pattern[str]) -> Callable[[str], list[str]]:
    """Look at one word at a time: no word can make a pattern wander through the whole text."""

    def find(text: str) -> list[str]:
        words = (word.strip(".,:;!?") for word in _BREAKS.split(text))
        return [found[found.lastindex or 0] for word in words if (found := pattern.fullmatch(word))]

    return find


_FINDERS: Mapping[str, Callable[[str], list[str]]] = {
    "e": _words(_EMAIL),
    "li ur": _words(_URL),
    "n z": _NUMBERS.findall,
    "ha": _words(_TAG),
    "me": _words(_MENTION),
    "da": _DATE.findall,
    "p t": _PHONE.findall,
    "in re": _words(_INVOICE),
    "ip": _words(_IP),
}
