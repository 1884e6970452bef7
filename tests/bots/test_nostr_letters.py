import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.nostr_letters import Message, messages_of
from bots.nostr_parts import PART_BYTES_MAX, parts_of
from core.values.mail import INVOICE, Bill, Button, Content, Letter, Note, Peer, Result

PEER = Peer("nostr", "bot", "alice")
AT_S = 1_800_000_000
BODIES = st.lists(
    st.sampled_from(["word ", "\n", "\n\n", "ü", "🥎" * 30, "x" * 3_000, "end. "]), max_size=60
)


def letter(content: Content, **more: object) -> Letter:
    return Letter(peer=PEER, content=content, at_ms=AT_S * 1000 + 999, **more)


def texts_of(content: Content) -> list[str]:
    return [message.text for message in messages_of(letter(content))]


def without_head(part: str) -> str:
    return part.split("\n", 1)[1]


def test_a_note_ends_with_what_to_write_instead_of_its_buttons() -> None:
    note = Note("I can do it.", buttons=((Button("Do it", "yes", "7F3K"),),), hint="Reply yes.")

    assert texts_of(note) == ["I can do it.\n\nReply yes."]


def test_a_bill_is_a_text_without_the_invoice_and_then_nothing_but_the_invoice() -> None:
    bill = Bill(
        f"21 sat.\n{INVOICE}\nValid 15 min.", "lnbc1x", "https://x.org/pay/1", hint="Or no."
    )

    assert texts_of(bill) == ["21 sat.\nValid 15 min.\nhttps://x.org/pay/1\n\nOr no.", "lnbc1x"]


def test_a_result_stands_between_its_head_and_its_foot() -> None:
    result = Result("**Mia**\n", "7F3K.md", head="Result of #7F3K", foot="#7F3K done")

    assert texts_of(result) == ["Result of #7F3K\n\n**Mia**\n\n#7F3K done"]


def test_messages_of_a_letter_are_a_second_apart_so_that_they_stay_in_order() -> None:
    bill = messages_of(letter(Bill(INVOICE + "\nPay.", "lnbc1x", None)))

    assert [message.created_at for message in bill] == [AT_S, AT_S + 1]


def test_a_message_carries_its_protocol_and_what_it_answers() -> None:
    written = letter(Note("Hi."), via="nip04", reply_to="ab")

    assert messages_of(written) == [Message("Hi.", AT_S, "nip04", "ab")]
    assert messages_of(letter(Note("Hi.")))[0].via == "nip17"


def test_a_card_that_changes_is_told_anew_for_nothing_can_be_edited() -> None:
    assert [one.text for one in messages_of(letter(Note("Paid."), slot="card"))] == ["Paid."]


def test_a_text_that_no_event_can_carry_is_made_one_that_can() -> None:
    assert texts_of(Note("a\ud800b\0c")) == ["a�b�c"]


def test_a_letter_without_a_time_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError):
        messages_of(Letter(peer=PEER, content=Note("Hi.")))


def test_a_text_of_the_most_bytes_is_one_part() -> None:
    assert parts_of("ü" * (PART_BYTES_MAX // 2)) == ["ü" * (PART_BYTES_MAX // 2)]


@given(body=BODIES)
def test_parts_are_small_and_together_the_whole_text(body: list[str]) -> None:
    text = "".join(body)

    parts = parts_of(text)

    assert all(len(part.encode()) <= PART_BYTES_MAX for part in parts)
    assert text == (parts[0] if len(parts) == 1 else "".join(map(without_head, parts)))


def test_a_part_ends_at_a_paragraph_where_there_is_one() -> None:
    parts = parts_of(("word " * 200 + "\n\n") * 10)

    assert [part.endswith("\n\n") for part in parts] == [True, True]
    assert [part[:6] for part in parts] == ["(1/2)\n", "(2/2)\n"]


def test_a_block_of_code_is_closed_in_each_part_and_opened_again_in_the_next() -> None:
    code = "".join(f"line {number}\n" for number in range(2_000))

    parts = parts_of(f"Look:\n```py\n{code}```\nThat is all.")

    assert len(parts) == 3
    assert all(part.count("```") == 2 for part in parts)
    assert [without_head(part).startswith("```py\nline") for part in parts] == [False, True, True]
    lines = [line for part in parts for line in part.split("\n") if line.startswith("line ")]
    assert "".join(f"{line}\n" for line in lines) == code
