"""What a process that was killed held: whoever starts alone has it at once, others when it ends."""

from core.books import inbox, people, posts
from core.desk.mail_desk import LEASE_MS, POST_MS
from core.store.port import Store
from core.values.mail import Inbound, Peer, Text
from tests.conftest import Database
from tests.desk.conftest import opened
from tests.hand_clock import START_MS

ANNA = Peer(channel="telegram", realm="7000000001", uid="1001")


async def hold_all(store: Store) -> None:
    """Hold a duty and a person with mail, as a process does until it is killed."""
    mail = Inbound(peer=ANNA, ext_id="1", body=Text("/help"), at_ms=START_MS)
    await store.write(inbox.take, mail, "en", START_MS)
    assert await store.write(
        posts.take, "telegram", "killed", now_ms=START_MS, until_ms=START_MS + POST_MS
    )
    assert await store.write(
        people.claim, "killed", now_ms=START_MS, until_ms=START_MS + LEASE_MS, limit=10
    )


async def test_who_starts_alone_has_the_duties_and_the_mail_of_the_killed_at_once(
    empty_database: Database,
) -> None:
    store = await empty_database.open()
    await hold_all(store)
    await store.aclose()

    async with opened(empty_database) as counter:
        mail = counter.core.desk.mail

        assert await mail.take_post("telegram")
        assert len(await mail.claim(10)) == 1


async def test_beside_another_process_they_are_free_when_their_time_is_over(
    postgres_database: Database,
) -> None:
    store = await postgres_database.open()
    await hold_all(store)

    async with opened(postgres_database) as counter:
        mail = counter.core.desk.mail

        assert not await mail.take_post("telegram")
        assert not await mail.claim(10)
        counter.clock.advance(LEASE_MS / 1000)
        assert await mail.take_post("telegram")
        assert len(await mail.claim(10)) == 1
    await store.aclose()
