"""Words in several languages, and amounts written in them."""

import pytest

from core.values.texts import charged_sats, read, sats


@pytest.fixture
def catalogue(tmp_path):
    (tmp_path / "en.toml").write_text('[card]\npaid = "Paid {amount}"\nopen = "Open"\n')
    (tmp_path / "de.toml").write_text('[card]\npaid = "{amount} bezahlt"\n')
    return read(tmp_path, ["de"])


def test_a_text_is_said_in_the_language_asked_for(catalogue):
    assert catalogue.say("card.paid", "de", amount="21 sat") == "21 sat bezahlt"


@pytest.mark.parametrize("lang", ["de", "fr"])
def test_what_a_language_lacks_is_said_in_english(catalogue, lang):
    assert catalogue.say("card.open", lang) == "Open"


def test_an_unknown_key_is_an_error(catalogue):
    with pytest.raises(KeyError):
        catalogue.say("card.lost", "en")


def test_a_place_without_its_value_is_an_error(catalogue):
    with pytest.raises(KeyError):
        catalogue.say("card.paid", "en")


def test_what_stands_in_a_place_is_not_read_for_places(catalogue):
    assert catalogue.say("card.paid", "en", amount="{amount} {0}") == "Paid {amount} {0}"


@pytest.mark.parametrize(
    ("wanted", "picked"),
    [("de", "de"), ("de-AT", "de"), ("DE_at", "de"), ("pt-br", "en"), ("", "en"), (None, "en")],
)
def test_a_tag_picks_the_language_of_its_first_part(catalogue, wanted, picked):
    assert catalogue.pick(wanted) == picked


def test_the_source_is_always_among_the_languages(catalogue):
    assert catalogue.languages == ("en", "de")


def test_a_value_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "en.toml").write_text("[card]\npaid = 21\n")

    with pytest.raises(TypeError, match=r"card\.paid"):
        read(tmp_path, [])


def test_a_balance_is_rounded_down_and_a_charge_up():
    assert (sats(1_234_999, "en"), charged_sats(1_234_001, "en")) == ("1,234 sat", "1,235 sat")


@pytest.mark.parametrize(
    ("lang", "written"),
    [
        ("en", "1,234,567 sat"),
        ("de", "1.234.567 sat"),
        ("fr", "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567 sat"),
    ],
)
def test_thousands_are_set_apart_as_the_language_does(lang, written):
    assert sats(1_234_567_000, lang) == written
