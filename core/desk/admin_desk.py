"""The operator's desk in a chat: how everything stands, whom a code means, and alarms.

What the operator changes is written with the answer to the message that asks for it, by the desk
for people.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.books import alarms, closing, cover, export, job_rows, jobs, outbox, people, requests
from core.books.jobs import Job
from core.books.outbox import Backlog
from core.books.people import Contact
from core.books.requests import Request
from core.desk.operator_desk import OperatorDesk
from core.gate import Health
from core.loops.watchdog import Balance, Watchdog
from core.store.port import Store, Tx
from core.values.clock import Clock
from core.values.mail import Letter, Note, Peer
from core.values.money import NOTHING, Msat

RUNNING = ("evaluating", "executing")
OPEN = (*RUNNING, "awaiting_eval_payment", "awaiting_work_payment")


@dataclass(frozen=True, slots=True)
class Standing:
    """How everything stands. `wallet` is None where it was not seen yet."""

    wallet: Msat | None
    owed: Msat
    open_jobs: int
    running_jobs: int
    backlogs: tuple[Backlog, ...]
    away_since_ms: Mapping[str, int]
    is_paused: bool
    closes_on: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class KnownRequest:
    """A request as the operator may see it: without its text."""

    request: Request
    job: Job | None
    paid: Msat  # less what came back


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminDesk:
    """Serves the operator in a chat."""

    store: Store
    clock: Clock
    operator: OperatorDesk
    watchdog: Watchdog
    health: Health

    async def standing(self) -> Standing:
        """How everything stands now."""
        counts = await self.store.read(job_rows.count_by_state)
        owed = await self.store.read(cover.owed)
        seen = self.watchdog.seen
        return Standing(
            wallet=None if seen is None else seen.wallet,
            owed=owed.total,
            open_jobs=sum(counts.get(state, 0) for state in OPEN),
            running_jobs=sum(counts.get(state, 0) for state in RUNNING),
            backlogs=tuple(await self.backlogs()),
            away_since_ms=self.health.away_since_ms,
            is_paused="operator" in self.watchdog.intake.reasons,
            closes_on=await self.store.read(closing.day),
            now_ms=self.clock.now_ms(),
        )

    async def backlogs(self) -> Sequence[Backlog]:
        """What waits to be said, by channel."""
        return await self.store.read(outbox.backlogs)

    @property
    def shortage(self) -> Balance | None:
        """What the watchdog has seen, where the wallet holds too little."""
        return self.watchdog.seen if "wallet" in self.watchdog.intake.reasons else None

    async def pause(self, reason: str) -> None:
        """Take no money until `resume`."""
        await self.operator.pause(reason)
        await self.watchdog.heed_operator()

    async def resume(self, reason: str) -> None:
        """Take money again."""
        await self.operator.resume(reason)
        await self.watchdog.heed_operator()

    async def people_with_money(self) -> int:
        """How many people in a chat have a balance."""
        return len(await self.store.read(people.with_money))

    async def requests(self, code: str) -> list[KnownRequest]:
        """Everybody's requests of this code; a code is one person's own."""
        return await self.store.read(_requests, code)

    async def contacts(self, name: str) -> list[Contact]:
        """Whom an id means: a session's, or that of somebody on a channel."""
        return await self.store.read(people.named, name)

    async def warn(
        self,
        kind: str,
        peers: Sequence[Peer],
        say: Callable[[str], str],
        *,
        since_ms: int = 0,
    ) -> bool:
        """Tell the operator of something; `say` gives its text in a language.

        False where it was told already, or something of this kind a moment ago.
        """
        return await self.store.write(self._warn, kind, peers, say, since_ms=since_ms)

    async def all_clear(
        self, kind: str, peers: Sequence[Peer], say: Callable[[str, int], str] | None = None
    ) -> None:
        """It is over: `say` gives its text in a language for how many milliseconds it lasted."""
        if (await self.store.read(alarms.state, kind)).since_ms:
            await self.store.write(self._all_clear, kind, peers, say)

    async def _warn(
        self,
        tx: Tx,
        kind: str,
        peers: Sequence[Peer],
        say: Callable[[str], str],
        *,
        since_ms: int,
    ) -> bool:
        now_ms = self.clock.now_ms()
        if not await alarms.ring(tx, kind, now_ms, since_ms=since_ms):
            return False
        await _tell(tx, peers, say, now_ms)
        return True

    async def _all_clear(
        self, tx: Tx, kind: str, peers: Sequence[Peer], say: Callable[[str, int], str] | None
    ) -> None:
        now_ms = self.clock.now_ms()
        since_ms = await alarms.end(tx, kind)
        if since_ms is not None and say is not None:
            lasted_ms = now_ms - since_ms
            await _tell(tx, peers, lambda lang: say(lang, lasted_ms), now_ms)


async def _tell(tx: Tx, peers: Sequence[Peer], say: Callable[[str], str], now_ms: int) -> None:
    """Write to these, each in their language, and in English to whom never wrote to us."""
    for peer in peers:
        contact = await people.contact(tx, peer)
        lang, via = "en", ""
        if contact is not None:
            lang = (await people.person(tx, contact.session_id)).lang
            via = contact.via
        letter = Letter(peer=peer, content=Note(say(lang)), is_news=True, via=via)
        await outbox.post(tx, letter, now_ms)


async def _requests(tx: Tx, code: str) -> list[KnownRequest]:
    found = []
    for request in await requests.of_code(tx, code):
        if request.job_id is None:
            found.append(KnownRequest(request, None, NOTHING))
            continue
        paid = await export.paid_for(tx, request.session_id, request.job_id)
        found.append(KnownRequest(request, await jobs.view(tx, request.job_id), paid))
    return found
