import random
from dataclasses import replace

import nostr_sdk
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynostr.event import Event as PynostrEvent

from bots import nip44, nip59
from bots.nip01 import CREATED_AT_MAX, NotAnEvent, Signer, read_draft, read_event
from tests.bots.nostr_people import (
    NOW_S,
    closed,
    dumps,
    gift,
    gift_of,
    mutated,
    person,
    rumor,
    seal_of,
    with_broken_signature,
)

ALICE, BOT, MALLORY = person("alice"), person("bot"), person("mallory")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


def sdk_keys(signer: Signer) -> nostr_sdk.Keys:
    return nostr_sdk.Keys.parse(signer.secret.hex())


@given(text=TEXTS, at_s=st.integers(0, CREATED_AT_MAX))
def test_an_event_has_the_id_and_the_signature_that_pynostr_finds(text: str, at_s: int) -> None:
    event = ALICE.sign(ALICE.draft(1, text, created_at=at_s, tags=[["t", text], ["e"]]))

    theirs = PynostrEvent.from_dict({**event.to_json(), "tags": [["t", text], ["e"]]})

    assert (theirs.id, theirs.verify()) == (event.id, True)


@given(text=TEXTS)
def test_an_event_reads_as_it_was_written(text: str) -> None:
    event = ALICE.sign(ALICE.draft(1, text, created_at=NOW_S, tags=[["t", text]]))

    assert read_event(orjson.loads(dumps(event))) == event
    assert event.is_genuine


def test_an_event_with_another_text_is_not_genuine() -> None:
    event = ALICE.sign(ALICE.draft(1, "yes", created_at=NOW_S))

    assert not replace(event, draft=replace(event.draft, content="no")).is_genuine


def test_an_event_of_a_number_that_is_no_key_is_not_genuine() -> None:
    event = ALICE.sign(ALICE.draft(1, "yes", created_at=NOW_S))
    draft = replace(event.draft, pubkey="f" * 64)

    assert not replace(event, draft=draft, id=draft.id).is_genuine


@pytest.mark.parametrize(
    "change",
    [
        {"pubkey": "AB" * 32},
        {"pubkey": 7},
        {"created_at": -1},
        {"created_at": True},
        {"created_at": 1.5},
        {"created_at": 2**53},
        {"kind": 65_536},
        {"kind": "14"},
        {"tags": None},
        {"tags": ["p"]},
        {"tags": [["p", 1]]},
        {"content": None},
        {"id": ""},
        {"sig": "0" * 127},
    ],
    ids=str,
)
def test_what_has_not_the_form_of_an_event_is_none(change: dict[str, object]) -> None:
    event = orjson.loads(dumps(ALICE.sign(ALICE.draft(1, "yes", created_at=NOW_S))))

    with pytest.raises(NotAnEvent):
        read_event({**event, **change})


@pytest.mark.parametrize("raw", [None, [], "event", 3])
def test_only_an_object_is_an_event(raw: object) -> None:
    with pytest.raises(NotAnEvent):
        read_event(raw)
    with pytest.raises(NotAnEvent):
        read_draft(raw)


@given(text=TEXTS)
def test_a_gift_gives_its_rumor_back(text: str) -> None:
    message = rumor(ALICE, BOT, text)

    wrapped = gift(message, ALICE, BOT)

    assert wrapped.is_genuine
    assert nip59.unwrap(wrapped, BOT) == message


@given(text=TEXTS)
def test_nostr_sdk_opens_our_gifts_and_we_open_its_own(text: str) -> None:
    message = rumor(ALICE, BOT, text)
    ours = nostr_sdk.Event.from_json(dumps(gift(message, ALICE, BOT)).decode())
    unsigned = nostr_sdk.UnsignedEvent.from_json(dumps(message).decode())
    theirs = nostr_sdk.nip59_make_gift_wrap(
        sdk_keys(ALICE), nostr_sdk.PublicKey.parse(BOT.pubkey), unsigned
    )

    opened = nostr_sdk.UnwrappedGift.from_gift_wrap(sdk_keys(BOT), ours)

    assert opened.sender().to_hex() == ALICE.pubkey
    assert read_draft(orjson.loads(opened.rumor().as_json())) == message
    assert nip59.unwrap(read_event(orjson.loads(theirs.as_json())), BOT) == message


def test_the_same_rumor_makes_the_same_gift_again() -> None:
    assert gift(rumor(ALICE, BOT, "hi"), ALICE, BOT) == gift(rumor(ALICE, BOT, "hi"), ALICE, BOT)


def test_another_rumor_receiver_or_secret_makes_another_gift_in_all_its_parts() -> None:
    one = gift(rumor(ALICE, BOT, "hi"), ALICE, BOT)

    for other in (
        gift(rumor(ALICE, BOT, "ho"), ALICE, BOT),
        gift(rumor(ALICE, BOT, "hi"), ALICE, MALLORY),
        gift(rumor(ALICE, BOT, "hi"), ALICE, BOT, seed="other"),
    ):
        assert other.draft.pubkey != one.draft.pubkey
        assert other.draft.created_at != one.draft.created_at
        assert other.draft.content[:44] != one.draft.content[:44]  # the nonce


def test_a_gift_says_nothing_of_its_author_and_little_of_its_time() -> None:
    message = rumor(ALICE, BOT, "hi")

    wrapped = gift(message, ALICE, BOT)

    assert ALICE.pubkey not in dumps(wrapped).decode()
    assert NOW_S - 24 * 3600 < wrapped.draft.created_at <= NOW_S


def test_nobody_else_opens_a_gift() -> None:
    with pytest.raises(nip59.NotForUs, match="MAC"):
        nip59.unwrap(gift(rumor(ALICE, BOT, "hi"), ALICE, BOT), MALLORY)


HONEST = dumps(rumor(ALICE, BOT, "hi"))


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (gift_of(dumps(seal_of(HONEST, MALLORY, BOT)), BOT), "not who sealed it"),
        (gift_of(dumps(with_broken_signature(seal_of(HONEST, ALICE, BOT))), BOT), "broken"),
        (gift_of(dumps(seal_of(HONEST, ALICE, BOT, kind=1)), BOT), "its seal is none"),
        (gift_of(dumps(seal_of(HONEST, ALICE, BOT)), BOT, kind=1), "no gift wrap"),
        (gift_of(dumps(seal_of(b"[]", ALICE, BOT)), BOT), "no object"),
        (gift_of(dumps(seal_of(b"not JSON", ALICE, BOT)), BOT), "cannot be opened"),
        (gift_of(HONEST, BOT), "its id is not|its sig is not"),
        (gift_of(dumps(seal_of(HONEST.replace(b"hi", b"ho"), ALICE, BOT)), BOT), "not its own"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_gift_that_lies_is_not_for_us(lie: nip59.Event, reason: str) -> None:
    with pytest.raises(nip59.NotForUs, match=reason):
        nip59.unwrap(lie, BOT)


def test_a_rumor_needs_no_id() -> None:
    message = {key: value for key, value in orjson.loads(HONEST).items() if key != "id"}

    opened = nip59.unwrap(gift_of(dumps(seal_of(orjson.dumps(message), ALICE, BOT)), BOT), BOT)

    assert opened == rumor(ALICE, BOT, "hi")


@pytest.mark.parametrize("version", [b"\x01", b"\x03"])
def test_other_versions_of_the_encryption_are_not_read(version: bytes) -> None:
    payload = nip44.base64.b64decode(closed(HONEST, ALICE, BOT))
    other = nip44.base64.b64encode(version + payload[1:]).decode()
    seal = ALICE.sign(ALICE.draft(nip59.SEAL, other, created_at=NOW_S))

    with pytest.raises(nip59.NotForUs, match="unknown encryption version"):
        nip59.unwrap(gift_of(dumps(seal), BOT), BOT)


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_event_is_opened_or_refused_and_never_a_surprise(seed: int) -> None:
    assert opened_of_damaged(400, random.Random(seed)) < 200


def opened_of_damaged(count: int, chance: random.Random) -> int:
    """How many of so many damaged events still opened; each layer is damaged in turn."""
    opened = 0
    for number in range(count):
        inner = mutated(HONEST, chance) if number % 3 == 0 else HONEST
        layer = dumps(seal_of(inner.decode("utf-8", "replace").encode(), ALICE, BOT))
        layer = mutated(layer, chance) if number % 3 == 1 else layer
        raw = dumps(gift_of(layer.decode("utf-8", "replace").encode(), BOT))
        raw = mutated(raw, chance) if number % 3 == 2 else raw
        try:
            event = read_event(orjson.loads(raw))
            opened += event.is_genuine and nip59.unwrap(event, BOT).pubkey == ALICE.pubkey
        except (orjson.JSONDecodeError, NotAnEvent, nip59.NotForUs):
            continue
    return opened
