"""What the pay page says: the same in both languages, and shortly."""

from importlib.resources import files
from string import Formatter

import pytest

from api.pay import LANGUAGES
from core.values.texts import read

WORDS = read(files("api") / "texts", LANGUAGES)


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_languages_have_the_same_keys_and_places():
    english, german = (
        {key: places(text) for key, text in WORDS.texts[lang].items()} for lang in LANGUAGES
    )

    assert english == german


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_text_raises_its_voice_or_needs_escaping(lang):
    assert [text for text in WORDS.texts[lang].values() if set(text) & set("!<>&\"'")] == []
