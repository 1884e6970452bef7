"""What a tool is given and what it gives back, and how plain words are read as a task.

A request is an instruction and its material. The material is what follows a colon, a line break
or an opening bracket, else what is quoted, else what remains of the line after the words that
chose the tool. Every pattern of every tool sees only `ask`, the first 200 characters, so that no
request can make a pattern slow.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ASK_CHARS_MAX = 200
_THANKS_CHARS_MAX = 40


@dataclass(frozen=True, slots=True)
class Done:
    """The finished work; `what` is one sentence for the quote."""

    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Cannot:
    """The tool was meant, but this it cannot do; `why` is a sentence for the customer."""

    why: str


Outcome = Done | Cannot | None  # None: not this tool's business


@dataclass(frozen=True, slots=True)
class Task:
    """One reading of a request. Quoted parts stand in `line` as `""`, their text in `quotes`."""

    line: str
    material: str
    quotes: tuple[str, ...]

    @property
    def ask(self) -> str:
        """The part of the instruction that patterns may look at."""
        return self.line[:ASK_CHARS_MAX]

    def subject(self, match: re.Match[str]) -> str:
        """The text to work on: the material, else the last quote, else the words left over.

        Left over is the pattern's group `mid` where it has one that matched, else what follows.
        """
        if self.material:
            return self.material
        if self.quotes:
            return self.quotes[-1]
        middle = match.groupdict().get("mid")
        return _without_description(middle or self.line[match.end() :])


Tool = Callable[[Task], Outcome]


def readings(request: str) -> Iterator[Task]:
    """The ways to read a request: instruction first, from a "please" on, or on the last line."""
    lines = request.strip().splitlines() or [""]
    rest = "\n".join(lines[1:])
    yield _read(lines[0], rest)
    please = _PLEASE.search(lines[0], 1, ASK_CHARS_MAX)
    if please is not None:
        yield _read(lines[0][please.start() :], rest)
    if len(lines) > 1:
        yield Task(_without_courtesy(lines[-1]), _unwrapped("\n".join(lines[:-1])), ())


_QUOTED = re.compile(
    r'"([^"]*)"'
    r"|[\u201c\u201e]([^\u201c\u201d\u201e\"]*)[\u201d\u201c\"]"
    r"|\u00ab([^\u00ab\u00bb]*)\u00bb"
    r"|(?<!\w)'([^']*)'(?!\w)"
)
_MARK = re.compile(r":(?=\s|$)|[\"\u201c\u201e\u00ab{\[]|(?<!\w)'")
_EARLY_COLON = re.compile(r"[^\W\d]+(?: [^\W\d]+){0,3}:(?!//)")
_COURTESY = re.compile(
    r"(?:hi|hello|hey|hallo|moin|guten tag|please|pls|bitte|kindly"
    r"|(?:can|could|would|will) (?:you|u)|i (?:want|need) you to|i(?:'d| would) like you to"
    r"|help me(?: to)?|kannst du|k\u00f6nntest du|k\u00f6nnen sie)\b[\s,!.]*",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"(?:can|could|would|will|kannst|k\u00f6nntest|k\u00f6nnen)\b", re.IGNORECASE
)
_PLEASE = re.compile(r"\b(?:please|bitte)\b", re.IGNORECASE)
_THANKS = re.compile(r"[\s,.]+(?:please|thanks|thank you|bitte|danke)[\s.!]*$", re.IGNORECASE)
_DESCRIPTION = re.compile(
    r"\s*(?:(?:of|in|for|from|on|von|aus|f\u00fcr)\b\s*)?"
    r"(?:(?:(?:all|alle)\s+)?(?:(?:of\s+)?(?:the|this|these|those|my|diese[nrms]?|die|das|den|dem)\s+)?"
    r"(?:(?:following|folgende[nrms]?)\s+)?"
    r"(?:text|string|sentences?|words?|names?|lines?|list|items?|numbers?|article|data"
    r"|satz|s\u00e4tze|wort|w\u00f6rter|namen?|zeilen?|liste|zahlen|eintr\u00e4ge)\b[\s,:-]*)?",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```[\w+-]*\n(.*?)\n?```", re.DOTALL)


def _read(first: str, rest: str) -> Task:
    line = _without_courtesy(first)
    early = _EARLY_COLON.match(line, 0, ASK_CHARS_MAX)
    if early is not None:
        return Task(line[: early.end() - 1], _joined(line[early.end() :], rest), ())
    asked, position = "", 0
    quotes: list[str] = []
    while (mark := _MARK.search(line, position, position + ASK_CHARS_MAX)) is not None:
        if mark[0] == ":":
            ask = asked + line[position : mark.start()]
            return Task(ask, _joined(line[mark.end() :], rest), tuple(quotes))
        if mark[0] in "{[":
            return _read_bracketed(
                asked + line[position : mark.start()], line[mark.start() :], rest
            )
        quoted = _QUOTED.match(line, mark.start())
        end = quoted.end() if quoted is not None else mark.end()
        asked += line[position : mark.start()] + ('""' if quoted is not None else mark[0])
        quotes += ["".join(quoted.groups(default=""))] if quoted is not None else []
        position = end
    return Task(_without_thanks(asked + line[position:]), _unwrapped(rest), tuple(quotes))


def _read_bracketed(ask: str, bracketed: str, rest: str) -> Task:
    """Material that opens with a bracket ends with the last one, or with the request."""
    end = max(bracketed.rfind("}"), bracketed.rfind("]")) + 1
    if rest or end == 0:
        return Task(ask, _joined(bracketed, rest), ())
    return Task(f"{ask.rstrip()} {bracketed[end:].strip()}".strip(), bracketed[:end], ())


def _joined(after: str, rest: str) -> str:
    after = after.strip()
    return _unwrapped(f"{after}\n{rest}" if after and rest else after or rest)


def _without_courtesy(line: str) -> str:
    line = line.strip()
    for _ in range(4):
        courtesy = _COURTESY.match(line)
        if courtesy is None or courtesy.end() == len(line):
            break
        line = line[courtesy.end() :]
        if _QUESTION.match(courtesy[0]):  # "Could you sort this? b, a"
            line = line.replace("? ", ": ", 1)
    return line


def _without_thanks(line: str) -> str:
    return line[:-_THANKS_CHARS_MAX] + _THANKS.sub("", line[-_THANKS_CHARS_MAX:])


def _without_description(words: str) -> str:
    """Drop "of the following text" and its like, never a bare "the" that belongs to the text."""
    found = _DESCRIPTION.match(words)
    return words[found.end() :].strip() if found is not None else words.strip()


def _unwrapped(material: str) -> str:
    """Take off a code fence, or quotes around the whole."""
    material = material.strip("\n")
    fence = _FENCE.search(material)
    if fence is not None:
        return fence[1]
    quoted = _QUOTED.fullmatch(material.strip())
    return "".join(quoted.groups(default="")) if quoted is not None else material
