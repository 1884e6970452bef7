"""Summaries by extraction: the sentences whose words matter most, in their own order."""

import re
from collections import Counter

from core.agents.tools.sentences import sentences
from core.agents.tools.task import Cannot, Done, Outcome, Task

_DEFAULT_SENTENCES = 3
_ASKED = re.compile(
    r"(?:(?:give|write|make|create|schreibe?|gib)\b.{0,20}?)?"
    r"(?:summari[sz]e|shorten|k\u00fcrze|summary|tl;?dr|key sentences?|zusammenfassung"
    r"|fass[et]?\b.{0,80}?\bzusammen\b)"
    r"(?:\s+(?:in|to|with|mit)\s+\w+\s+(?:sentences?|s\u00e4tzen?|satz))?",
    re.IGNORECASE,
)
_LENGTH = re.compile(
    r"(\d{1,2}|[a-z\u00e4\u00f6\u00fc]+)\s+(?:sentences?|s\u00e4tzen?|satz)\b", re.IGNORECASE
)
_SPELT = {
    word: count
    for count, words in enumerate(
        ("one a single einem ein", "two zwei", "three drei", "four vier", "five f\u00fcnf"), 1
    )
    for word in words.split()
}
_WORD = re.compile(r"[^\W\d_]{3,}")
_COMMON_TEXT = """
the and that this with from have has had was were are for not but you your they their them its
his her she who which what when where will would can could should been more than then also into
about there all any one out over such some only very because while after before between through
these those der die das und ist nicht ein eine einer eines einem einen den dem des mit von auf
f\u00fcr als auch sich bei nach aus wie zum zur wird werden wurde sind war hat haben aber oder
wenn dass nur noch \u00fcber durch sie wir ihr ich man kann so es im am um
"""
_COMMON = frozenset(_COMMON_TEXT.split())


def summarise(task: Task) -> Outcome:
    """Shorten a text to a few of its own sentences."""
    match = _ASKED.match(task.ask)
    if match is None:
        return None
    found = sentences(task.subject(match))
    if len(found) < 2:
        return Cannot("A summary picks whole sentences: it needs a text of at least two.")
    wanted = _LENGTH.search(task.ask)
    count = min(_count(wanted[1]) if wanted else _DEFAULT_SENTENCES, len(found) - 1)
    return Done(
        f"Pick the {count} most telling of {len(found)} sentences.", " ".join(_best(found, count))
    )


def _count(word: str) -> int:
    return max(1, int(word)) if word.isdecimal() else _SPELT.get(word.lower(), _DEFAULT_SENTENCES)


def _best(found: list[str], count: int) -> list[str]:
    """Sentences with the most frequent words on average; ties go to the earlier one."""
    words = [[w for w in _WORD.findall(s.casefold()) if w not in _COMMON] for s in found]
    weight = Counter(word for sentence in words for word in sentence)
    scores = [
        sum(weight[word] for word in set(sentence)) / (len(sentence) + 3) for sentence in words
    ]
    ranked = sorted(range(len(found)), key=lambda place: (-scores[place], place))
    return [found[place] for place in sorted(ranked[:count])]
