"""Counting: words, letters, lines, sentences, bytes, tokens, and one text in another."""

import re
from collections import Counter
from collections.abc import Callable

from core.agents.tools.sentences import sentences
from core.agents.tools.task import Cannot, Done, Outcome, Task

_KIND = (
    r"(?:words?|w\u00f6rter|worte|characters?|chars?|zeichen|letters?|buchstaben|lines?|zeilen"
    r"|sentences?|s\u00e4tze|bytes?|tokens?|paragraphs?|abs\u00e4tze)"
)
_KINDS = rf"(?P<kinds>{_KIND}(?:(?:\s*,\s*|\s+(?:and|und)\s+)+{_KIND}){{0,8}})"
_COUNT = re.compile(
    rf"(?:(?:count|z\u00e4hle?)(?:\s+(?:all|the|die|alle))*|(?:what is the )?number of"
    rf"|how many|wie ?viele)\s+(?:the\s+)?{_KINDS}\b"
    rf"(?:\s+(?:are|is|has|does|hat|haben|sind))?(?:\s+there)?",
    re.IGNORECASE,
)
_ALL = re.compile(
    r"(?:how long is (?:this|the)(?: text)?|word count|wc"
    r"|count(?: this| the)?(?: text)?|z\u00e4hle)\s*$",
    re.IGNORECASE,
)
_OCCURRENCES = re.compile(
    r"(?:how (?:often|many times)|wie oft|count)\b.{0,40}?"
    r'(?:""(?=.{0,20}\bin\b)|\b(?:the )?(?:letter |word |buchstabe |wort )(?P<sought>\w{1,40}))',
    re.IGNORECASE,
)
_LETTER_IN_WORD = re.compile(
    r"how many (?P<sought>\w)(?:'?s)?(?: are)?(?: there)? in (?:the word )?(?P<mid>[\w ]+?)[?.]*$",
    re.IGNORECASE,
)
_FREQUENT = re.compile(
    r"(?:(?:most )?(?:common|frequent) words|word frequenc(?:y|ies)|count each word"
    r"|h\u00e4ufigste w\u00f6rter)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_COUNTERS: tuple[tuple[str, str, Callable[[str], int]], ...] = (
    ("w", "words", lambda text: len(_WORD.findall(text))),
    ("c zeich", "characters", len),
    ("le bu", "letters", lambda text: sum(map(str.isalpha, text))),
    ("li zeil", "lines", lambda text: len(text.splitlines())),
    ("se s\u00e4", "sentences", lambda text: len(sentences(text))),
    ("p a", "paragraphs", lambda text: sum(bool(part.strip()) for part in text.split("\n\n"))),
    ("by", "bytes", lambda text: len(text.encode("utf-8", "surrogatepass"))),
    ("t", "tokens", lambda text: -(-len(text.encode("utf-8", "surrogatepass")) // 4)),
)


def count(task: Task) -> Outcome:
    """Count in a text what is asked for, or everything."""
    for pattern, work in (
        (_LETTER_IN_WORD, _occurrences),
        (_OCCURRENCES, _occurrences),
        (_COUNT, _kind),
        (_ALL, _everything),
        (_FREQUENT, _frequent),
    ):
        match = pattern.match(task.ask)
        if match is not None:
            return work(task, match)
    return None


def _occurrences(task: Task, match: re.Match[str]) -> Outcome:
    sought = match["sought"] or (task.quotes[0] if task.quotes else "")
    text = task.material or (
        task.quotes[-1] if len(task.quotes) > (match["sought"] is None) else ""
    )
    text = text or match.groupdict().get("mid") or _after_in(task.line[match.end() :])
    if not sought or not text:
        return Cannot('Say what to count and where: how often is "a" in "banana".')
    times = text.casefold().count(sought.casefold())
    return Done("Count how often it occurs.", f"{sought}: {times}")


def _after_in(rest: str) -> str:
    found = re.search(r"\bin\s+", rest[:80])
    return rest[found.end() :].strip(" ?.") if found is not None else ""


def _kind(task: Task, match: re.Match[str]) -> Outcome:
    text = task.subject(match)
    if not text:
        return Cannot("There is no text to count in: put it after a colon or on the next lines.")
    kinds = re.findall(_KIND, match["kinds"].lower())
    rows = {
        name: f"{counter(text)} {name}"
        for kind in kinds
        for prefixes, name, counter in _COUNTERS
        if kind.startswith(tuple(prefixes.split()))
    }
    return Done(f"Count the {', '.join(rows)}.", "\n".join(rows.values()))


def _everything(task: Task, match: re.Match[str]) -> Outcome:
    text = task.subject(match)
    if not text:
        return None
    rows = (f"{name}: {counter(text)}" for _, name, counter in _COUNTERS)
    return Done("Count the text.", "\n".join(rows))


def _frequent(task: Task, match: re.Match[str]) -> Outcome:
    words = Counter(word.casefold() for word in _WORD.findall(task.subject(match)))
    rows = (f"{word}: {times}" for word, times in words.most_common(20))
    return Done("Count each word.", "\n".join(rows)) if words else Cannot("There are no words.")
