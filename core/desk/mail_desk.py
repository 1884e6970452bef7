"""The desk of the mail itself: who has mail to be read, and what is to be sent.

One process at a time reads a person's mail, and one at a time serves a channel.
"""

from dataclasses import dataclass

from core.books import inbox, outbox, people, posts, requests, talks
from core.books.inbox import Mail
from core.books.outbox import Card, Queued
from core.store.bulletin import Bulletin
from core.store.port import Store, Tx
from core.values.clock import Clock
from core.values.mail import Peer

LEASE_MS = 30_000
POST_MS = 20_000
TALK_MS = 30 * 86_400_000  # what was said in a chat is kept this long
BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class MailDesk:
    """Hands out mail and takes note of what became of it."""

    store: Store
    bulletin: Bulletin
    clock: Clock
    process_id: str
    retention_ms: int

    async def claim(self, limit: int) -> list[str]:
        """People with mail to be read, now in this process's hands."""
        now_ms = self.clock.now_ms()
        return await self.store.write(
            people.claim,
            self.process_id,
            now_ms=now_ms,
            until_ms=now_ms + LEASE_MS,
            limit=limit,
        )

    async def keep(self, session_id: str) -> bool:
        """Keep a person in this process's hands; False where another has it."""
        until_ms = self.clock.now_ms() + LEASE_MS
        return await self.store.write(people.hold, session_id, self.process_id, until_ms)

    async def let_go(self, session_id: str) -> None:
        """Give a person out of this process's hands, until the next piece is to be read."""
        await self.store.write(_let_go, session_id, self.process_id)

    async def next_mail(self, session_id: str) -> Mail | None:
        """The oldest piece of mail that a person has to be read."""
        return await self.store.read(inbox.next_mail, session_id, self.clock.now_ms())

    async def failed(self, mail: Mail, again_ms: int) -> bool:
        """Reading a piece failed by our own mistake; False where it is not tried again."""
        again_at_ms = self.clock.now_ms() + again_ms
        return await self.store.write(inbox.failed, mail, again_at_ms=again_at_ms)

    async def wait(self, mail: Mail, wait_ms: int) -> None:
        """Read a piece later: somebody outside is away."""
        until_ms = self.clock.now_ms() + wait_ms
        await self.store.write(inbox.wait, mail, until_ms=until_ms)

    async def next_due_ms(self) -> int | None:
        """When the next piece is to be read, or a reminder rings."""
        return await self.store.read(_next_due_ms)

    async def ring(self) -> None:
        """Turn reminders that are due into mail."""
        now_ms = self.clock.now_ms()
        due_ms = await self.store.read(inbox.next_reminder_ms)
        if due_ms is not None and due_ms <= now_ms:
            await self.store.write(inbox.ring, now_ms, BATCH)

    async def letters(self, channel: str, realm: str) -> list[Queued]:
        """The next letter of each peer of a channel."""
        now_ms = self.clock.now_ms()
        return await self.store.read(outbox.due, channel, realm, now_ms=now_ms, limit=BATCH)

    async def next_letter_ms(self, channel: str, realm: str) -> int | None:
        """When the next letter of a channel is to be sent."""
        return await self.store.read(outbox.next_due_ms, channel, realm)

    async def card(self, peer: Peer, slot: str) -> Card | None:
        """What stands in a slot."""
        return await self.store.read(outbox.card, peer, slot)

    async def sent_part(self, letter: Queued, sent_ids: tuple[str, ...]) -> None:
        """The channel has these messages of a letter."""
        await self.store.write(outbox.sent_part, letter.number, sent_ids)

    async def sent(self, letter: Queued, shown: Card | None) -> None:
        """A letter is said whole; `shown` stands in its slot now."""
        await self.store.write(_sent, letter, shown, self.clock.now_ms())

    async def again(self, letter: Queued, after_ms: int) -> None:
        """The channel did not take a letter now."""
        await self.store.write(outbox.again, letter.number, at_ms=self.clock.now_ms() + after_ms)

    async def in_doubt(self, letter: Queued, after_ms: int) -> None:
        """The channel may have taken a message of a letter."""
        await self.store.write(outbox.in_doubt, letter.number, at_ms=self.clock.now_ms() + after_ms)

    async def dead(self, letter: Queued) -> None:
        """The channel will never take a letter."""
        await self.store.write(outbox.dead, letter.number)

    async def start_over(self, letter: Queued) -> None:
        """What stood in a letter's slot is not there any more: all of it is said anew."""
        await self.store.write(_start_over, letter)

    async def backlog(self, channel: str, realm: str) -> tuple[int, int | None]:
        """How many letters of a channel wait, and since when the oldest does."""
        return await self.store.read(outbox.backlog, channel, realm)

    async def take_post(self, name: str) -> bool:
        """Take a duty that one process at a time has, or keep it; False where another has it."""
        now_ms = self.clock.now_ms()
        return await self.store.write(
            posts.take, name, self.process_id, now_ms=now_ms, until_ms=now_ms + POST_MS
        )

    async def leave(self) -> None:
        """Leave all duties and let go of everybody."""
        await self.store.write(_leave, self.process_id)

    async def tidy(self) -> None:
        """Forget what is no longer needed, a little in each transaction."""
        now_ms = self.clock.now_ms()
        for forget_old in (inbox.forget_old, outbox.forget_old):
            while await self.store.write(forget_old, now_ms, BATCH) == BATCH:
                pass
        await self.store.write(talks.forget_old, before_ms=now_ms - TALK_MS)
        await self.store.write(requests.forget_dropped, before_ms=now_ms - self.retention_ms)


async def _let_go(tx: Tx, session_id: str, process_id: str) -> None:
    until_ms = await inbox.not_before_ms(tx, session_id)
    await people.let_go(tx, session_id, process_id, until_ms)


async def _next_due_ms(tx: Tx) -> int | None:
    due = (await inbox.next_due_ms(tx), await inbox.next_reminder_ms(tx))
    return min((at_ms for at_ms in due if at_ms is not None), default=None)


async def _start_over(tx: Tx, queued: Queued) -> None:
    await outbox.lose(tx, queued.letter.peer, queued.letter.slot or "")
    await outbox.sent_part(tx, queued.number, ())


async def _sent(tx: Tx, queued: Queued, shown: Card | None, now_ms: int) -> None:
    await outbox.sent(tx, queued.number)
    if shown is not None and queued.letter.slot is not None:
        await outbox.show(tx, queued.letter.peer, queued.letter.slot, shown, now_ms)


async def _leave(tx: Tx, process_id: str) -> None:
    await posts.leave(tx, process_id)
    await people.let_all_go(tx, process_id)
