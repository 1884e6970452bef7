"""Values as JSON and back."""

import dataclasses

import pytest

from core.values.mail import (
    Bill,
    Button,
    Copy,
    Elsewhere,
    Letter,
    Link,
    Note,
    Peer,
    Presence,
    Result,
    Unsupported,
)
from core.values.packed import named, pack, unpack

ANNA = Peer("telegram", "bot", "1001")
CLASSES = named(
    Bill, Button, Copy, Elsewhere, Letter, Link, Note, Peer, Presence, Result, Unsupported
)


@pytest.mark.parametrize(
    "value",
    [
        Letter(peer=ANNA, content=Note("Hi 🙂", buttons=((Button("Yes", "yes", "ref", 3),),))),
        Letter(
            peer=ANNA, content=Bill("{invoice}", "lnbc1", None), slot="7F3K:check", is_news=True
        ),
        Letter(peer=ANNA, content=Result("# Title", name="r", foot="done"), reply_to="9"),
        Note("", buttons=((Link("Open", "https://example.org"), Copy("Copy", "K7QF")),)),
        Unsupported("photo"),
        Elsewhere("group"),  # the same fields as the one before, and yet another thing
        Presence(is_reachable=False),
    ],
)
def test_what_is_packed_comes_back_the_same(value: object) -> None:
    assert unpack(pack(value), CLASSES) == value


def test_a_text_makes_only_classes_that_the_reader_names() -> None:
    with pytest.raises(ValueError, match="no class of ours"):
        unpack(pack(ANNA), named(Note))


@pytest.mark.parametrize("text", ['{"kind": 1}', "[", '{"is": 5}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        unpack(text, CLASSES)


def test_what_is_no_value_of_ours_is_not_packed() -> None:
    @dataclasses.dataclass
    class Holder:
        what: float

    with pytest.raises(TypeError):
        pack(Holder(0.5))
