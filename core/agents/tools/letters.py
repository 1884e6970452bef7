"""Letters and white space: case, names in code style, backwards, trimmed, replaced, echoed."""

import re
from collections.abc import Callable

from core.agents.tools.task import Cannot, Done, Outcome, Task

_VERB = (
    r"(?:(?:make|turn|convert|change|put|write|transform|set|rewrite|wandle|schreibe?|mache?|setze)\b"
    r"(?!\s+(?:an?|eine?n?|me)\s)\s*(?P<mid>.*?)\s*(?:\b(?:in(?:to)?|to|as|all|nach|zu)\b\s*)*)?"
)
_REPLACE = re.compile(
    r'(?:replace|substitute|ersetze)\s+(?:all\s+|every\s+|alle\s+)?""\s+(?:with|by|durch)\s+""',
    re.IGNORECASE,
)
_BACKWARDS = re.compile(
    r"(?:reverse|flip)(?:\s+(?:the|this)?\s*(?:text|string|letters|word)\b(?:\s+of\b)?)?"
    r"|(?:write|spell|schreibe?)\b\s*(?P<mid>.*?)\s*\b(?:backwards?|r\u00fcckw\u00e4rts)",
    re.IGNORECASE,
)
_TRIM = re.compile(
    r"(?:trim|(?:remove|strip|delete|collapse|clean up|entferne)\b.{0,30}?"
    r"\b(?:white ?spaces?|spaces|blank lines|empty lines|leerzeichen|leerzeilen))\b",
    re.IGNORECASE,
)
_ECHO = re.compile(r"(?:echo|repeat|say|wiederhole|sage?)\b(?: after me)?", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_HUMP = re.compile(r"(?<=[a-z\d])(?=[A-Z])")


def letters(task: Task) -> Outcome:
    """Change the letters of a text, not its words."""
    replacing = _REPLACE.match(task.ask)
    if replacing is not None:
        return _replace(task)
    for pattern, what, change in _CHANGES:
        match = pattern.match(task.ask)
        if match is None:
            continue
        text = task.subject(match)
        return Done(what, change(text)) if text else Cannot("There is no text to change.")
    return None


def _replace(task: Task) -> Outcome:
    old, new = task.quotes[:2]
    text = task.material or (task.quotes[2] if len(task.quotes) > 2 else "")
    if not old or old not in text:
        return Cannot("The text to replace does not occur.")
    if len(text) + text.count(old) * len(new) > 4 * len(text) + 1_000:
        return Cannot("The replacement would make the text too long.")
    return Done(f"Replace it in {text.count(old)} places.", text.replace(old, new))


def _title(text: str) -> str:
    return _WORD.sub(lambda word: word[0][0].upper() + word[0][1:].lower(), text)


def _sentence_case(text: str) -> str:
    return re.sub(r"(?:^|(?<=[.!?] )|(?<=\n))[^\W\d_]", lambda m: m[0].upper(), text.lower())


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(_HUMP.sub(" ", text.replace("_", " ")))]


def _snake(text: str) -> str:
    return "\n".join("_".join(_words(line)) for line in text.splitlines())


def _kebab(text: str) -> str:
    return "\n".join("-".join(_words(line)) for line in text.splitlines())


def _camel(text: str) -> str:
    named = (_words(line) for line in text.splitlines())
    return "\n".join("".join(w.title() if n else w for n, w in enumerate(words)) for words in named)


def _tidy(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


def _case(names: str) -> re.Pattern[str]:
    return re.compile(rf"{_VERB}(?:{names})\b(?:\s+(?:of|for|von)\b)?", re.IGNORECASE)


_CHANGES: tuple[tuple[re.Pattern[str], str, Callable[[str], str]], ...] = (
    (
        _case(r"upper[- ]?case|capital letters|all[- ]caps|capitals|gro\u00dfbuchstaben"),
        "Write it in upper case.",
        str.upper,
    ),
    (_case(r"lower[- ]?case|small letters|kleinbuchstaben"), "Write it in lower case.", str.lower),
    (
        _case(r"title[- ]?case|capitali[sz]e(?: (?:each|every|all) words?)?"),
        "Write it in title case.",
        _title,
    ),
    (_case(r"sentence[- ]?case"), "Write it in sentence case.", _sentence_case),
    (_case(r"snake[_ -]?case"), "Write it in snake case.", _snake),
    (_case(r"kebab[- ]?case|slug(?:ify)?"), "Write it in kebab case.", _kebab),
    (_case(r"camel[- ]?case"), "Write it in camel case.", _camel),
    (_BACKWARDS, "Write it backwards.", lambda text: text[::-1]),
    (_TRIM, "Remove the superfluous white space.", _tidy),
    (_ECHO, "Say it back.", str),
)
