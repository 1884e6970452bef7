"""The readers: one for each person who has mail, one piece at a time, people side by side."""

import asyncio
from dataclasses import dataclass, field

import structlog

from bots.alarms import Alarms
from bots.talk import Conversation
from core.books.inbox import MAIL, Mail
from core.desk.mail_desk import LEASE_MS, MailDesk
from core.loops.hands import Hands
from core.loops.supervisor import outlive
from core.values.errors import DatabaseUnavailable, Unavailable
from core.values.ids import new_id

READERS_MAX = 500
LOOK_S = 5.0  # another process may have stored something without our hearing
AWAY_MS = 2_000
AGAIN_MS = 1_000
BEAT_S = LEASE_MS / 3_000

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Readers:
    """Reads the mail of one process's people."""

    desk: MailDesk
    conversation: Conversation
    alarms: Alarms
    _hands: Hands = field(default_factory=lambda: Hands("reader"))  # by session

    async def run(self) -> None:
        """Read, for ever."""
        try:
            with self.desk.bulletin.listen(MAIL) as news:
                while True:
                    self._hands.freed.clear()
                    await self.desk.ring()
                    await self._start_readers()
                    wait_s = await self._wait_s()
                    await news.wait_beside(self._hands.freed, wait_s)
        finally:
            await self._hands.aclose()

    async def _start_readers(self) -> None:
        free = READERS_MAX - len(self._hands.busy)
        if free <= 0:
            return
        for session_id in await self.desk.claim(free):
            if session_id in self._hands.busy:  # its reader has let go, and is not gone yet
                await self.desk.let_go(session_id)
                continue
            self._hands.start(session_id, self._read(session_id))

    async def _wait_s(self) -> float:
        due_ms = await self.desk.next_due_ms()
        if due_ms is None:
            return LOOK_S
        left_s = (due_ms - self.desk.clock.now_ms()) / 1000
        return min(LOOK_S, left_s) if left_s > 0 else LOOK_S

    async def _read(self, session_id: str) -> None:
        """Read a person's mail until none is left, with a heartbeat beside it."""
        reading = asyncio.create_task(self._read_all(session_id))
        beating = asyncio.create_task(self._beat(session_id))
        try:
            await asyncio.wait([reading, beating], return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            reading.cancel()
            beating.cancel()
            await asyncio.gather(reading, beating, return_exceptions=True)

    async def _read_all(self, session_id: str) -> None:
        try:
            while (mail := await self.desk.next_mail(session_id)) is not None:
                await self._read_one(mail)
            await self.desk.let_go(session_id)
        except DatabaseUnavailable as fault:  # the lease runs out by itself
            log.warning("mail not read", reason=fault.reason)

    async def _read_one(self, mail: Mail) -> None:
        try:
            lives = await outlive(self.conversation.answer(mail), "answer", number=mail.number)
        except Unavailable as fault:
            log.warning("mail put off", number=mail.number, reason=fault.reason)
            await self.desk.wait(mail, AWAY_MS)
            return
        if lives or await self.desk.failed(mail, AGAIN_MS):
            return
        ref = new_id("ent")[-6:]
        log.error("mail given up", ref=ref, number=mail.number)
        await outlive(self.conversation.give_up(mail, ref), "apology", ref=ref)
        await outlive(self.alarms.mail_is_dead(ref), "alarm", ref=ref)

    async def _beat(self, session_id: str) -> None:
        while True:
            await self.desk.clock.sleep(BEAT_S)
            if not await self.desk.keep(session_id):
                return
