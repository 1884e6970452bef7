"""What somebody's words mean by themselves: commands, and the few words that stand for one.

Pure, and without a language of its own: only a whole message is ever taken for a command, so that a
request may begin with any word.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Command:
    """A command and what was written after it."""

    name: str
    arg: str = ""


MENU: Final = ("job", "chat", "balance", "topup", "withdraw", "history", "lang", "help")

CODE: Final = r"#?(?P<code>[0-9a-zA-Z]{4})"
_AMOUNT = r"[0-9]{1,9}"
_TARGET = r"\S{6,4000}"

# The words that are commands as a whole message, each with the one argument that it may have.
_BARE: Final[Mapping[str, str]] = {
    "help": "",
    "balance": "",
    "topup": _AMOUNT,
    "withdraw": _TARGET,
    "history": rf"{CODE}|[0-9]{{1,3}}",
    "cancel": CODE,
    "close": "",
    "chat": _AMOUNT,
    "new": CODE,
    "lang": r"[a-zA-Z]{2}",
    "link": r"[0-9a-zA-Z]{4}-?[0-9a-zA-Z]{4}",
    "yes": CODE,
    "no": CODE,
    "once": CODE,
    "all": "",
}
_OTHER_WORDS: Final[Mapping[str, str]] = {
    "ja": "yes",
    "nein": "no",
    "hilfe": "help",
    "guthaben": "balance",
    "abbrechen": "cancel",
    "alles": "all",
    "einmal": "once",
}
_GREETINGS: Final = frozenset(
    {"hi", "hello", "hey", "hola", "hallo", "gm", "moin", "servus", "ciao", "salut", "start"}
)
_PAID: Final = frozenset({"paid", "done", "payed", "i paid", "i have paid", "bezahlt"})
_PREIMAGE = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
_COMMAND = re.compile(r"[/!](?P<name>[a-z_]{1,32})(?:\s+(?P<arg>.*))?", re.IGNORECASE | re.DOTALL)
_DESTINATION = re.compile(
    r"(?:lightning:)?(?:ln(?:bc|tb)\w{20,}|lnurl1\w{10,}|[\w.+-]{1,64}@[\w.-]+\.\w{2,}(?::\d+)?"
    r"|[\w.+-]{1,64}@(?:localhost|127\.0\.0\.1):\d+)",
    re.IGNORECASE | re.ASCII,
)
_SHORT_TEXT = 4  # characters: less is no request


def command_in(text: str) -> Command | None:
    """The command that a whole message is; one that we do not know has its own name."""
    match = _COMMAND.fullmatch(text.strip())
    if match is not None:
        name = match["name"].lower()
        return Command(name, (match["arg"] or "").strip())
    word, _, rest = text.strip().rstrip("?.!").partition(" ")
    name = word.lower()
    name = _OTHER_WORDS.get(name, name)
    argument = _BARE.get(name)
    if argument is None:
        return None
    arg = rest.strip()
    if arg and not (argument and re.fullmatch(argument, arg)):
        return None
    return Command(name, arg)


def code_in(arg: str) -> str | None:
    """The code of a request, as it is written in the books."""
    match = re.fullmatch(CODE, arg.strip())
    return None if match is None else match["code"].upper()


def sats_in(arg: str) -> int | None:
    """An amount in sats, however it is written: 1000, 1,000 or 1.000 sat."""
    match = re.fullmatch(
        r"([0-9][0-9.,' ]{0,14})\s*(?:sats?|satoshis?)?", arg.strip(), re.IGNORECASE
    )
    return None if match is None else int(re.sub(r"\D", "", match[1]))


def is_greeting(text: str) -> bool:
    """Whether somebody only says hello, or too little to be a request."""
    bare = text.strip().rstrip("!?., ").lower()
    return bare in _GREETINGS or 0 < len(text.strip()) < _SHORT_TEXT


def says_paid(text: str) -> bool:
    """Whether somebody tells that an invoice is paid. A preimage is no proof either."""
    bare = text.strip().rstrip("!?. ").lower()
    return bare in _PAID or _PREIMAGE.fullmatch(bare) is not None


def is_destination(text: str) -> bool:
    """Whether a whole message is an invoice, an LNURL or a Lightning address."""
    return _DESTINATION.fullmatch(text.strip()) is not None


def has_words(text: str) -> bool:
    """Whether there is anything to read: a letter, a digit or a sign, not emoji alone."""
    return text.strip() == "?" or any(unicodedata.category(sign)[0] in "LN" for sign in text)
