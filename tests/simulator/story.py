"""Stories: conversations in files that read like a chat, parsed into steps.

    title: job, happy path
    world: check=21 once=500 chat.unpaid_max=3 postgres
    person anna on telegram lang=en
    model check -> accept 400 "translate one sentence"
    model work -> "Dzień dobry"

    anna> Translate "good morning" into Polish
    bot> photo ~ "21 sat" has_invoice 21 button "Open wallet" -> "/pay/" as card
    anna pays card
    bot~ card ~ "Paid 21 sat" no buttons
    bot> text = "Dzień dobry" within 5s
    bot> nothing for 1s
    ledger: in=21 revenue=21 liabilities=0
    calls: model.check=1 telegram.sendPhoto=1
    acts: messages=1 presses=0 payments=2          # by people, since the last such line

`bot>` is a new message, `bot~ NAME` an edit of the one called so, `bot!` a toast, `bot...` a
preview. Matchers: `= "whole"`, `~ "part"`, `!~ "absent"`, `/regular expression/`. `{code}` is the
code in a new message, or else in the latest one, `{NAME.code}` that of a card, and `{NAME}` what a
line has put there, as `/code is (?P<NAME>[A-Z]+)/` does. A line that begins with `@telegram` is
for that channel only.

On Nostr: `world: relays=2 auth`, `person anna on nostr17 inbox=none`, `relay r1 down`. There the
invoice of a card is the message after it, which is what can be paid.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from tests.simulator.story_steps import (
    CHANNELS,
    Act,
    Action,
    ButtonIs,
    Cast,
    Check,
    Expect,
    Foreign,
    ModelDoes,
    Pay,
    Press,
    Process,
    Say,
    Send,
    Silence,
    Step,
    Story,
    Text,
    Trouble,
    Wait,
)


class StoryFault(Exception):
    """A line that cannot be read."""

    def __init__(self, number: int, line: str, sentence: str) -> None:
        super().__init__(f"line {number}: {sentence}\n  {line}")
        self.number = number


def read(path: Path) -> Story:
    """A story from its file. Raises StoryFault."""
    return parse(path.read_text(), name=path.stem)


def parse(text: str, *, name: str = "story") -> Story:
    """A story from its text. Raises StoryFault at the first line that means nothing."""
    story = Story(name)
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            _read_line(story, number, line)
        except ValueError as fault:
            raise StoryFault(number, line, str(fault)) from None
    if not story.title:
        raise StoryFault(1, text[:60], "a story begins with its title")
    return story


_ONLY = re.compile(r"@(\w+)\s+(.+)")


def _read_line(story: Story, number: int, line: str) -> None:
    only = None
    if match := _ONLY.fullmatch(line):
        only, line = match.groups()
        if only not in (*CHANNELS, "nostr"):
            raise ValueError(f"there is no channel {only}")
    word, _, rest = line.partition(" ")
    match word:
        case "title:":
            story.title = rest.strip()
        case "world:":
            story.world |= dict(_setting(word) for word in rest.split())
        case "person":
            story.persons.append(_cast(rest))
        case _:
            names = {person.name for person in story.persons}
            story.steps.append(Step(number, line, _action(line, names), only))


def _setting(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value or "yes"


_CAST = re.compile(r"(\w+) on (\w+)(?: lang=(\w+))?(?: inbox=(here|none|dead))?")


def _cast(rest: str) -> Cast:
    match = _CAST.fullmatch(rest.strip())
    if match is None:
        raise ValueError("a person reads: person NAME on CHANNEL lang=en")
    name, channel, lang, inbox = match.groups()
    if channel not in (*CHANNELS, "all"):
        raise ValueError(f"there is no channel {channel}")
    return Cast(name, channel, lang or "en", inbox or "here")


# The lines

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|/(?:[^/\\]|\\.)+/|\S+')
_BOT = re.compile(r"bot(?: to (\w+))?(>|!|~ \w+|\.\.\.|…)\s*(.*)")
_SAYS = re.compile(r"(\w+)(?: replies to (\w+))?> ?(.*)")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SPAN_S: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Tokens:
    """The words, quoted strings and patterns of a line, taken one after the other."""

    def __init__(self, text: str) -> None:
        self._left = deque(_TOKEN.findall(text))

    def __bool__(self) -> bool:
        return bool(self._left)

    def take(self, wanted: str = "another word") -> str:
        if not self._left:
            raise ValueError(f"there should be {wanted} at the end")
        return str(self._left.popleft())

    def takes(self, *words: str) -> bool:
        """Take these words if they come next."""
        if tuple(self._left)[: len(words)] != words:
            return False
        for _ in words:
            self._left.popleft()
        return True

    def string(self, what: str = "a text in quotes") -> str:
        token = self.take(what)
        if not token.startswith('"'):
            raise ValueError(f"{token} should be {what}")
        return str(json.loads(token))

    def string_or(self, default: str) -> str:
        return self.string() if self._left and self._left[0].startswith('"') else default

    def number(self) -> int:
        token = self.take("a number")
        if not token.lstrip("-").isdigit():
            raise ValueError(f"{token} should be a number")
        return int(token)

    def span_s(self) -> float:
        match = _SPAN.fullmatch(token := self.take("a time, such as 5s"))
        if match is None:
            raise ValueError(f"{token} should be a time, such as 5s or 16m")
        return float(match[1]) * _SPAN_S[match[2]]

    def end(self) -> None:
        if self._left:
            raise ValueError(f"this is one too many: {' '.join(self._left)}")


def _action(line: str, names: Container[str]) -> Action:
    if match := _BOT.fullmatch(line):
        return _bot(match[1], match[2], Tokens(match[3]))
    match = _SAYS.fullmatch(line)
    if match and match[1] in names:
        return Say(match[1], match[3].replace(r"\n", "\n"), match[2])
    tokens = Tokens(line)
    word = tokens.take()
    action = _of_person(word, tokens) if word in names else _of_world(word, tokens)
    tokens.end()
    return action


def _bot(to: str | None, mark: str, tokens: Tokens) -> Expect | Silence:
    if mark == ">" and tokens.takes("nothing", "for"):
        silence = Silence(tokens.span_s(), to)
        tokens.end()
        return silence
    kinds: dict[str, Any] = {">": "sent", "!": "toast", "...": "preview", "…": "preview"}
    fields: dict[str, Any] = {"what": kinds.get(mark, "edited"), "to": to}
    if mark.startswith("~"):
        fields["card"] = mark.removeprefix("~ ")
    lists: dict[str, list[Any]] = {"texts": [], "buttons": []}
    while tokens:
        _matcher(tokens.take(), tokens, fields, lists)
    return Expect(**fields, texts=tuple(lists["texts"]), buttons=tuple(lists["buttons"]))


_FLAGS: Final = {"replies": "is_reply", "maybe": "is_optional"}
_VALUES: Final[Mapping[str, tuple[str, Callable[[Tokens], Any]]]] = {
    "has_invoice": ("invoice_sats", Tokens.number),
    "entity": ("entity", Tokens.take),
    "as": ("name", Tokens.take),
    "within": ("within_s", Tokens.span_s),
    "memo": ("memo", Tokens.string),
}
_TEXTS: Final[Mapping[str, Any]] = {"=": "whole", "~": "part", "!~": "absent"}


def _matcher(
    word: str, tokens: Tokens, fields: dict[str, Any], lists: dict[str, list[Any]]
) -> None:
    if word in _FLAGS:
        fields[_FLAGS[word]] = True
    elif word in _VALUES:
        name, take = _VALUES[word]
        fields[name] = take(tokens)
    elif word in _TEXTS:
        lists["texts"].append(Text(_TEXTS[word], tokens.string()))
    elif word.startswith("/") and word.endswith("/"):
        lists["texts"].append(Text("pattern", word[1:-1]))
    elif word in ("photo", "text", "file"):
        fields["form"] = word
        fields["file"] = tokens.string_or("") if word == "file" else None
    elif word == "button":
        label = tokens.string("a button's label in quotes")
        lists["buttons"].append(ButtonIs(label, tokens.string() if tokens.takes("->") else None))
    elif word == "no" and tokens.takes("buttons"):
        fields["has_no_buttons"] = True
    else:
        raise ValueError(f"{word} is no matcher")


_ACTS: Final[Mapping[str, Any]] = {"blocks": "block", "unblocks": "unblock", "leaves": "leave"}
_SPEECHES: Final[Mapping[str, Any]] = {
    "edits": "edit",
    "forwards": "forward",
    "joins": "join",
    "tells": "group",
}


def _of_person(who: str, tokens: Tokens) -> Action:
    verb = tokens.take("what the person does")
    if verb in _ACTS:
        return Act(who, _ACTS[verb])
    if verb in _SPEECHES:
        return Act(who, _SPEECHES[verb], tokens.string())
    match verb:
        case "presses":
            label = tokens.string("a button's label in quotes")
            if not tokens.takes("on"):
                raise ValueError('a press reads: presses "label" on CARD')
            return Press(who, label, tokens.take("a card"), is_again=tokens.takes("again"))
        case "pays":
            how: Literal["late", "shown"] = "late" if tokens.takes("late") else "shown"
            return Pay(who, tokens.take("a card"), how, is_again=tokens.takes("again"))
        case "sends":
            return _sending(who, tokens)
    raise ValueError(f"a person cannot do this: {verb}")


def _sending(who: str, tokens: Tokens) -> Send:
    kind = tokens.take("what is sent")
    name, content, count = "", "", 0
    if kind == "file":
        name = tokens.string("a file's name in quotes")
        if tokens.takes("of"):
            count = tokens.number()
            tokens.takes("bytes")
        elif tokens.takes("with"):
            content = tokens.string()
    elif kind == "album":
        tokens.takes("of")
        count = tokens.number()
    return Send(who, kind, name, content, count, tokens.string_or(""))


def _of_world(word: str, tokens: Tokens) -> Action:
    match word:
        case "wait":
            return Wait(tokens.span_s())
        case "kill" | "stop" | "start" if tokens.takes("bot"):
            return Process(word)
        case "model":
            return _model(tokens)
        case "telegram" | "lnbits" | "relay":
            return _at_relay(tokens) if word == "relay" else _trouble(word, tokens)
        case "ledger:" | "calls:" | "acts:":
            what: Any = word.removesuffix(":")
            numbers = {}
            while tokens:
                name, _, value = tokens.take().partition("=")
                numbers[name] = int(value)
            return Check(what, numbers)
        case "invariants":
            return Check("invariants")
    raise ValueError(f"nobody here is called {word}, and it is no other beginning of a line")


def _model(tokens: Tokens) -> ModelDoes:
    call = tokens.take("check or work")
    if call not in ("check", "work") or not tokens.takes("->"):
        raise ValueError("a model reads: model check -> ..., or: model work -> ...")
    kind: Any = call
    if text := tokens.string_or(""):
        return ModelDoes(kind, "says", text=text, usage=_usage(tokens))
    answer = tokens.take("an answer")
    match answer:
        case "accept":
            return ModelDoes(kind, answer, tokens.number(), tokens.string_or("Does as asked."))
        case "reject":
            return ModelDoes(kind, answer, text=tokens.string())
        case "fails":
            return ModelDoes(kind, answer, tokens.number())
        case "long":
            return ModelDoes(kind, answer, tokens.number(), usage=_usage(tokens))
        case "hangs" | "cut" | "slow":
            return ModelDoes(kind, answer, text=tokens.string_or(""), usage=_usage(tokens))
    raise ValueError(f"a model cannot do this: {answer}")


def _usage(tokens: Tokens) -> int | None:
    return tokens.number() if tokens.takes("usage") else None


def _trouble(where: Any, tokens: Tokens) -> Trouble | Foreign:
    match verb := tokens.take("what happens there"):
        case "down" | "up" | "heals" | "repeats":
            return Trouble(where, verb)
        case "without" if tokens.takes("drafts"):
            return Trouble(where, "without drafts")
        case "invoice" if tokens.takes("of"):
            sats = tokens.number()
            if not tokens.takes("as"):
                raise ValueError("it reads: lnbits invoice of 100 as NAME")
            return Foreign(sats, tokens.take("a name"))
        case "set":
            return Trouble(where, "set", tokens.take("a setting"), tokens.take("a value"))
        case "finishes":
            return Trouble(where, "finish", tokens.take("a name"), tokens.take("success or failed"))
        case "next" | "every":
            return _fault(where, verb, tokens)
    raise ValueError(f"this cannot happen at {where}: {verb}")


def _at_relay(tokens: Tokens) -> Trouble:
    name, verb = tokens.take("a relay, such as r1"), tokens.take("what happens there")
    if verb not in ("down", "up", "closes", "refuses", "heals"):
        raise ValueError(f"this cannot happen at a relay: {verb}")
    reason = tokens.string() if verb == "refuses" else ""
    return Trouble("relay", verb, reason, name)


def _fault(where: Any, verb: str, tokens: Tokens) -> Trouble:
    call = tokens.take("a call")
    times: int | None = 1 if verb == "next" else None
    if call.isdigit():
        times, call = int(call), tokens.take("a call")
    text = tokens.string() if tokens.takes("with") else None
    if not tokens.takes("->"):
        raise ValueError(f"a fault reads: {where} next CALL -> FAULT")
    fault = tokens.take("a fault")
    argument = tokens.take() if tokens else ""
    return Trouble(where, call, fault, argument.strip('"'), times, text)
