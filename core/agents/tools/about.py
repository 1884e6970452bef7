"""What the agent says of itself, and what it says no to by name."""

import re

from core.agents.tools.task import Cannot, Done, Outcome, Task

NATURE = "This agent is a set of offline text tools, not a language model."
SKILLS = """\
sort, dedupe, reverse or number a list: Sort these names: Bob, alice, Carol
calculate: What is 17 * 23 + 5%? The average of 3, 4 and 8; 255 in hex; 2026 in roman numerals
convert units and bitcoin: 5 km in miles, 0.01 BTC in sats
count words, letters, lines, tokens: How many words are in "to be or not to be"?
summarise a text by picking its own sentences: Summarise in 2 sentences: ...
upper, lower, title, snake, camel case; backwards; replace; trim
lay out JSON; convert between JSON, CSV, TOML and Markdown tables
base64, hex, URL, HTML, ROT13 both ways; SHA, MD5, BLAKE2, CRC-32
extract e-mail addresses, links, numbers, dates, hashtags
dates: How many days are between 2026-01-01 and 2026-12-24?
compare two texts, with a line of --- between them"""

_WHO = re.compile(
    r"(?:who|what) are you\b|what (?:can|do) you do\b|(?:help|hilfe|info|about)[\s?!.]*$"
    r"|are you (?:an? )?(?:ai|bot|human|language model|llm|gpt|real)\b"
    r"|wer bist du\b|was (?:kannst|bist) du\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+")
_WRITE = (
    "write compose tell make create draft invent schreib schreibe dichte erz\u00e4hl erz\u00e4hle"
)
_TEXTS = """poem poems haiku story stories joke jokes song lyrics essay novel limerick letter email
blog article tweet speech gedicht geschichte witz lied aufsatz brief"""
_PROGRAMS = "code program function script app website python javascript programm funktion"
_PICTURES = "picture pictures image images photo logo illustration bild bilder foto zeichnung"
_NEWS = "news weather forecast latest current currently nachrichten wetter wechselkurs aktuell"
_CHANCE = "random shuffle dice coin password zufall zuf\u00e4llig zuf\u00e4llige passwort mische"
_MIND = "think believe like feel opinion view recommend denkst meinst h\u00e4ltst magst"
# The words one of which comes first, those of which one occurs ("" is any), and the answer.
_REFUSALS = (
    (_WRITE, _PROGRAMS, "It cannot write programs."),
    (_WRITE, _TEXTS, "It cannot invent a text."),
    ("draw paint sketch zeichne male", "", "It makes no pictures, only text."),
    ("", _PICTURES, "It makes no pictures, only text."),
    ("translate \u00fcbersetz \u00fcbersetze", "", "It cannot translate."),
    ("", _NEWS, "It works offline and knows nothing of the present state of the world."),
    ("what do should was", _MIND, "It has no opinions."),
    (
        "explain why define erkl\u00e4r erkl\u00e4re warum",
        "",
        "It cannot explain: it knows no facts.",
    ),
    ("", _CHANCE, "Its answers are always the same, so it offers nothing random."),
)


def introduce(task: Task) -> Outcome:
    """Say what this is and what it can do."""
    if task.material or _WHO.match(task.ask) is None:
        return None
    return Done("Say what this agent is and can do.", f"{NATURE} It can:\n\n{SKILLS}")


def refuse(task: Task) -> Outcome:
    """Say no to what people ask of language models, with the reason."""
    words = _WORD.findall(task.ask.lower()) or [""]
    for first, others, why in _REFUSALS:
        begins = not first or words[0] in first.split()
        if begins and (not others or not set(others.split()).isdisjoint(words)):
            return Cannot(why)
    return None
