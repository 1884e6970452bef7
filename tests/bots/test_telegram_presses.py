"""Buttons are known again, and only for the person that they were made for."""

import pytest

from bots.telegram_presses import DATA_MAX, Seals
from core.values.mail import Press

NEW, OLD = b"n" * 32, b"o" * 32
SEALS = Seals([NEW, OLD])
PRESS = Press("once", "7F3K", 3)
DATA = SEALS.seal(PRESS, bot_id="7", uid="42")


def test_a_button_comes_back_as_what_it_was() -> None:
    assert SEALS.open(DATA, bot_id="7", uid="42") == PRESS


@pytest.mark.parametrize(("bot_id", "uid"), [("7", "43"), ("8", "42"), ("74", "2")])
def test_it_is_nothing_for_anyone_else(bot_id: str, uid: str) -> None:
    assert SEALS.open(DATA, bot_id=bot_id, uid=uid) is None


@pytest.mark.parametrize("place", range(len(DATA)))
def test_no_character_of_it_can_be_changed(place: int) -> None:
    altered = DATA[:place] + ("x" if DATA[place] != "x" else "y") + DATA[place + 1 :]

    assert SEALS.open(altered, bot_id="7", uid="42") is None


@pytest.mark.parametrize(
    "data", ["", "1", "1.once.7F3K.3", "1.once.7F3K.03." + DATA[-10:], "é" * 30]
)
def test_what_is_no_button_of_ours_is_nothing(data: str) -> None:
    assert SEALS.open(data, bot_id="7", uid="42") is None


def test_a_button_of_the_key_before_still_works() -> None:
    old = Seals([OLD]).seal(PRESS, bot_id="7", uid="42")

    assert SEALS.open(old, bot_id="7", uid="42") == PRESS
    assert Seals([NEW]).open(old, bot_id="7", uid="42") is None


def test_a_button_fits_into_the_64_bytes_that_telegram_gives() -> None:
    press = Press("withdraw_all", "0123456789abcdef", 999_999)

    assert len(SEALS.seal(press, bot_id="7", uid="9" * 16)) <= DATA_MAX


@pytest.mark.parametrize(
    "press", [Press("a.b", "", 0), Press("a", "b|c", 0), Press("a", "r" * 60, 0)]
)
def test_a_button_that_could_not_be_read_back_is_a_mistake_of_ours(press: Press) -> None:
    with pytest.raises(AssertionError):
        SEALS.seal(press, bot_id="7", uid="42")
