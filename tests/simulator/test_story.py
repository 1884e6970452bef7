"""A story is read line by line, and its faults are told with their line."""

from pathlib import Path

import pytest

from tests.simulator.simulate import STORIES
from tests.simulator.story import StoryFault, parse, read
from tests.simulator.story_steps import (
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
    Text,
    Trouble,
    Wait,
)

HEAD = "title: one\nperson anna on telegram\nperson bob on telegram lang=de\n"


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("anna> Hi there", Say("anna", "Hi there")),
        (r"anna> one\ntwo", Say("anna", "one\ntwo")),
        ("anna replies to card> no", Say("anna", "no", reply_to="card")),
        ('bob presses "Do it" on card', Press("bob", "Do it", "card")),
        ('bob presses "Do it" on card again', Press("bob", "Do it", "card", is_again=True)),
        ("anna pays card", Pay("anna", "card")),
        ("anna pays late card again", Pay("anna", "card", "late", is_again=True)),
        ("anna blocks", Act("anna", "block")),
        ('anna edits "new"', Act("anna", "edit", "new")),
        ('anna joins "Friends"', Act("anna", "join", "Friends")),
        ('anna sends photo "what is this?"', Send("anna", "photo", caption="what is this?")),
        ("anna sends voice", Send("anna", "voice")),
        ("anna sends album of 3", Send("anna", "album", bytes_count=3)),
        ('anna sends file "a.txt" of 9 bytes', Send("anna", "file", "a.txt", bytes_count=9)),
        ('anna sends file "a.txt" with "x" "y"', Send("anna", "file", "a.txt", "x", caption="y")),
        ("wait 16m", Wait(960)),
        ("kill bot", Process("kill")),
        ("start bot", Process("start")),
        ('model check -> accept 400 "sort"', ModelDoes("check", "accept", 400, "sort")),
        ('model check -> reject "too big"', ModelDoes("check", "reject", text="too big")),
        (r'model work -> "a\nb" usage 12', ModelDoes("work", "says", text="a\nb", usage=12)),
        ("model work -> fails 500", ModelDoes("work", "fails", 500)),
        ("telegram next sendMessage -> 429 7", Trouble("telegram", "sendMessage", "429", "7")),
        (
            'telegram every sendMessage with "Result" -> drop',
            Trouble("telegram", "sendMessage", "drop", times=None, text="Result"),
        ),
        ("telegram heals", Trouble("telegram", "heals")),
        ("lnbits next 2 create -> 500", Trouble("lnbits", "create", "500", times=2)),
        ("lnbits invoice of 960 as target", Foreign(960, "target")),
        ("bot> nothing for 2s", Silence(2)),
        ("bot to bob> text", Expect("sent", to="bob", form="text")),
        (
            r'bot> photo ~ "21 sat" has_invoice 21 button "Open" -> "/pay/" as card',
            Expect(
                "sent",
                form="photo",
                texts=(Text("part", "21 sat"),),
                buttons=(ButtonIs("Open", "/pay/"),),
                invoice_sats=21,
                name="card",
            ),
        ),
        (
            'bot~ card !~ "pay" no buttons within 5s',
            Expect(
                "edited",
                card="card",
                texts=(Text("absent", "pay"),),
                has_no_buttons=True,
                within_s=5,
            ),
        ),
        ("bot! /^OK/", Expect("toast", texts=(Text("pattern", "^OK"),))),
        ('bot... maybe = "x"', Expect("preview", texts=(Text("whole", "x"),), is_optional=True)),
        ("ledger: in=421 liabilities=0", Check("ledger", {"in": 421, "liabilities": 0})),
        ("invariants", Check("invariants")),
    ],
)
def test_a_line_means_one_thing(line: str, action: Action) -> None:
    (step,) = parse(HEAD + line).steps

    assert (step.number, step.line, step.action) == (4, line, action)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("clara> hi", "nobody here is called clara>"),
        ("anna jumps", "a person cannot do this: jumps"),
        ("anna presses Cancel on card", "should be a button's label in quotes"),
        ("bot> shiny", "shiny is no matcher"),
        ("bot> has_invoice many", "many should be a number"),
        ("bot~ card within soon", "should be a time"),
        ("wait", "there should be a time, such as 5s at the end"),
        ("wait 5s 6s", "one too many: 6s"),
        ("model check -> wonder", "a model cannot do this: wonder"),
        ("telegram next sendMessage 429", "a fault reads"),
        ("person dan on pigeon", "there is no channel pigeon"),
        ("@pigeon wait 5s", "there is no channel pigeon"),
    ],
)
def test_a_line_that_means_nothing_is_told_with_its_number(line: str, words: str) -> None:
    with pytest.raises(StoryFault, match="line 5") as caught:
        parse(f"{HEAD}\n{line}")

    assert words in str(caught.value)


def test_a_story_begins_with_its_title() -> None:
    with pytest.raises(StoryFault, match="title"):
        parse("wait 5s")


def test_a_story_has_a_world_and_persons() -> None:
    story = parse(f"{HEAD}# a remark\nworld: check=21 chat.unpaid_max=3 postgres")

    assert story.world == {"check": "21", "chat.unpaid_max": "3", "postgres": "yes"}
    assert story.persons == [Cast("anna", "telegram"), Cast("bob", "telegram", "de")]
    assert story.is_for_postgres
    assert story.channels == ("telegram",)


def test_a_line_may_be_for_one_channel() -> None:
    steps = parse("title: one\nperson anna on all\n@nostr wait 5s\nwait 6s").steps

    assert [step.only for step in steps] == ["nostr", None]


@pytest.mark.parametrize("file", sorted(STORIES.glob("*.chat")), ids=lambda file: file.stem)
def test_every_story_can_be_read(file: Path) -> None:
    story = read(file)

    assert story.persons
    assert story.steps


def test_a_relay_goes_down_and_refuses_as_it_is_told() -> None:
    story = parse('title: t\nrelay r2 down\nrelay r1 refuses "blocked: no"\n')

    assert [step.action for step in story.steps] == [
        Trouble("relay", "down", argument="r2"),
        Trouble("relay", "refuses", "blocked: no", "r1"),
    ]


def test_a_person_on_nostr_may_name_no_relay() -> None:
    story = parse("title: t\nperson anna on nostr17 inbox=none\n")

    assert story.persons == [Cast("anna", "nostr17", inbox="none")]
