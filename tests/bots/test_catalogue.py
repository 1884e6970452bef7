"""The texts of the conversation: the same keys and places in every language, and short."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from bots.catalogue import load

ROOT = Path(__file__).parent.parent.parent
LANGUAGES = sorted(file.stem for file in (ROOT / "bots" / "texts").glob("*.toml"))
WORDS_MAX = 60

CATALOGUE = load(LANGUAGES)
ENGLISH = CATALOGUE.texts["en"]

in_each_language = pytest.mark.parametrize("lang", LANGUAGES)


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def said_keys(file: Path) -> Iterator[str]:
    """The literal keys that the file has said, and those it chooses between.

    A sentence is no key: the demo says its own.
    """
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(attr="say"), args=[key, *_]):
                yield from (text for text in literals(key) if " " not in text)


def literals(key: ast.expr) -> Iterator[str]:
    match key:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from literals(one)
            yield from literals(other)


def test_english_and_german_are_there():
    assert {"en", "de"} <= set(LANGUAGES)


@in_each_language
def test_a_language_has_the_keys_of_english(lang):
    assert set(CATALOGUE.texts[lang]) == set(ENGLISH)


@in_each_language
def test_a_text_has_the_places_of_its_english_source(lang):
    texts = CATALOGUE.texts[lang]

    assert {key: places(text) for key, text in texts.items()} == {
        key: places(text) for key, text in ENGLISH.items()
    }


@in_each_language
def test_places_are_plain_names(lang):
    parts = [part for text in CATALOGUE.texts[lang].values() for part in Formatter().parse(text)]

    assert {spec for _, _, spec, _ in parts} <= {"", None}
    assert {conversion for _, _, _, conversion in parts} == {None}
    assert all(name is None or name.isidentifier() for _, name, _, _ in parts)


@in_each_language
def test_no_text_is_longer_than_sixty_words(lang):
    words = {key: len(text.split()) for key, text in CATALOGUE.texts[lang].items()}

    assert {key: count for key, count in words.items() if count > WORDS_MAX} == {}


@in_each_language
def test_no_text_raises_its_voice_or_is_empty(lang):
    texts = CATALOGUE.texts[lang]

    assert [key for key, text in texts.items() if "!" in text or not text.strip()] == []


@in_each_language
def test_an_invoice_stands_on_a_line_of_its_own(lang):
    with_invoice = [text for text in CATALOGUE.texts[lang].values() if "{invoice}" in text]

    assert with_invoice
    assert all("{invoice}" in text.splitlines() for text in with_invoice)


@in_each_language
def test_the_profile_fits_telegram(lang):
    assert len(CATALOGUE.say("profile.description", lang)) <= 512
    assert len(CATALOGUE.say("profile.short", lang)) <= 120


@in_each_language
def test_commands_and_buttons_are_one_short_line(lang):
    short = {
        key: text for key, text in CATALOGUE.texts[lang].items() if key.startswith(("cmd.", "btn."))
    }

    assert all(len(text) <= 48 and "\n" not in text for text in short.values())


@in_each_language
def test_a_file_is_sorted_into_tables_once(lang):
    raw = tomllib.loads((ROOT / "bots" / "texts" / f"{lang}.toml").read_text("utf-8"))

    assert list(raw) == list(tomllib.loads((ROOT / "bots" / "texts" / "en.toml").read_text()))


@pytest.mark.parametrize("file", sorted((ROOT / "bots").rglob("*.py")), ids=lambda file: file.name)
def test_every_key_that_is_said_exists(file):
    assert set(said_keys(file)) - set(ENGLISH) == set()


def test_every_text_is_said_somewhere():
    """By its whole key, or by a family such as `state.` whose last part is chosen."""
    files = [*(ROOT / "bots").rglob("*.py"), *ROOT.glob("boltwork*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    said = {node.value for node in nodes if isinstance(node, ast.Constant)}
    families = {
        part.value
        for node in nodes
        if isinstance(node, ast.JoinedStr) and isinstance(part := node.values[0], ast.Constant)
    }

    unsaid = [
        key
        for key in ENGLISH
        if key not in said
        and not any(f"{key.rpartition('.')[0]}." == family for family in families)
    ]
    assert unsaid == []
