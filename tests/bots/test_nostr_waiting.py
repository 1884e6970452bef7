from bots.nostr_waiting import WaitingRoom
from core.values.mail import Inbound, Peer, Text, Unsupported

NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000
ALICE, BOB = (Peer("nostr", "bot", name) for name in ("alice", "bob"))


def mail(
    text: str, *, ago_ms: int = 0, via: str = "nip17", peer: Peer = ALICE, again: str = ""
) -> Inbound:
    ext_id = f"{text}{ago_ms}{via}{again}"
    return Inbound(peer=peer, ext_id=ext_id, body=Text(text), at_ms=NOW_MS - ago_ms, via=via)


def room_with(*mails: Inbound, at_s: float = 0.0) -> WaitingRoom:
    room = WaitingRoom(2.0)
    for each in mails:
        room.add(each, now_s=at_s, now_ms=NOW_MS)
    return room


def texts(mails: list[Inbound]) -> list[tuple[str, str]]:
    return [(each.body.text, each.via) for each in mails if isinstance(each.body, Text)]


def test_fresh_mail_goes_on_at_once() -> None:
    room = room_with(mail("one", ago_ms=5_000), mail("two"))

    assert texts(room.leave(0.0)) == [("one", "nip17"), ("two", "nip17")]
    assert room.opens_at() is None


def test_old_mail_goes_on_in_the_order_in_which_it_was_written() -> None:
    room = room_with(mail("second", ago_ms=MINUTE_MS), mail("first", ago_ms=2 * MINUTE_MS))

    assert room.leave(1.9) == []
    assert room.opens_at() == 2.0
    assert [text for text, _ in texts(room.leave(2.0))] == ["first", "second"]


def test_mail_waits_until_no_more_of_it_comes_but_not_for_ever() -> None:
    room = WaitingRoom(2.0)
    for second in range(20):
        room.add(mail("old", ago_ms=MINUTE_MS, again=str(second)), now_s=second, now_ms=NOW_MS)
        if second < 10:
            assert room.leave(second) == []

    assert room.opens_at() == 10.0
    assert len(room.leave(10.0)) == 20


def test_fresh_mail_waits_for_the_elder_mail_of_its_author_alone() -> None:
    room = room_with(mail("old", ago_ms=MINUTE_MS), mail("fresh"), mail("other", peer=BOB))

    assert texts(room.leave(0.0)) == [("other", "nip17")]
    assert texts(room.leave(2.0)) == [("old", "nip17"), ("fresh", "nip17")]


def test_of_twins_the_gift_counts_whichever_comes_first() -> None:
    old = mail("yes", ago_ms=MINUTE_MS, via="nip04")

    for order in ((old, mail("yes")), (mail("yes"), old)):
        room = room_with(*order)

        assert texts(room.leave(0.0) + room.leave(2.0)) == [("yes", "nip17")]


def test_a_gift_that_comes_late_is_still_known_as_a_twin() -> None:
    room = room_with(mail("yes", via="nip04"))
    first = room.leave(2.0)

    room.add(mail("yes"), now_s=9.0, now_ms=NOW_MS)

    assert texts(first) == [("yes", "nip04")]
    assert room.leave(9.0) == []


def test_the_same_text_is_another_message_by_the_same_road_or_after_five_minutes() -> None:
    room = room_with(
        mail("yes"),
        mail("yes", again="2"),
        mail("no", via="nip04", ago_ms=6 * MINUTE_MS),
        mail("no"),
        mail("ok", via="nip04"),
        mail("ok", peer=BOB),
    )

    assert len(room.leave(0.0) + room.leave(2.0)) == 6


def test_who_says_the_same_twice_by_both_roads_has_said_it_twice() -> None:
    room = room_with(
        mail("yes"), mail("yes", again="2"), mail("yes", via="nip04"), mail("yes", via="nip04")
    )

    assert texts(room.leave(0.0) + room.leave(2.0)) == [("yes", "nip17")] * 2


def test_files_have_no_twins() -> None:
    files = [
        Inbound(peer=ALICE, ext_id=ext_id, body=Unsupported("file"), at_ms=NOW_MS, via="nip17")
        for ext_id in "ab"
    ]

    assert room_with(*files).leave(0.0) == files
