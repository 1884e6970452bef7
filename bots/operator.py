"""The operator in the conversation: `/admin ...`, from those alone whom the settings name.

To everybody else it is a command that we do not know. Money moves after a question only, and
whatever is changed is written down with who wanted it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from bots import cards, questions
from bots.scene import Scene, Voice
from bots.words import code_in, sats_in
from core.books.talks import Prompt
from core.desk.admin_desk import AdminDesk, KnownRequest, Standing
from core.desk.people_desk import PeopleDesk
from core.desk.people_reply import Answered, Block, CloseOn, Give, Reply, StayOpen
from core.values.mail import Note, Peer
from core.values.money import Msat, from_sats

SATS_MAX = 10_000_000
SHOWN_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Answers the operator."""

    desk: AdminDesk
    people: PeopleDesk
    peers: frozenset[Peer]
    id_of: Callable[[str], str]  # a name as people write it, in the form that the books have
    last_errors: Callable[[], Sequence[str]]

    def is_asked_by(self, scene: Scene) -> bool:
        """Whether the operator writes this, where nobody else can read along or pretend to."""
        return scene.place.peer in self.peers and scene.place.via != "nip04"

    async def do(self, scene: Scene, arg: str) -> Reply:
        """Do what follows `/admin`."""
        if not self.is_asked_by(scene):
            return Reply((scene.note("sys.unknown_cmd"),))
        word, _, rest = arg.partition(" ")
        orders: Mapping[str, Callable[[Scene, str], Awaitable[Reply]]] = {
            "status": self._status,
            "pause": self._pause,
            "resume": self._resume,
            "winddown": self._wind_down,
            "job": self._job,
            "credit": self._ask_to_credit,
            "block": self._block,
            "unblock": self._unblock,
            "errors": self._errors,
        }
        order = orders.get(word.lower())
        if order is None:
            return Reply((scene.note("admin.usage"),))
        return await order(scene, rest.strip())

    async def credit(self, scene: Scene, prompt: Prompt) -> Reply:
        """The operator said yes to a credit."""
        if not self.is_asked_by(scene):
            return Reply((scene.note("sys.stale"),))
        session_id, sats, code = prompt.body.split()
        amount = from_sats(int(sats))
        view = await self.people.view(session_id, None)
        letter = scene.note(
            "admin.credit_done",
            amount=scene.voice.has(amount),
            person=_name(view.contacts[0].peer),
            balance=scene.voice.has(Msat(view.account.balance + amount)),
        )
        gift = Give(view.session_id, amount, prompt.ref, f"for #{code}, {_by(scene)}")
        return Reply((letter,), (gift, Answered(scene.place.peer)))

    async def _pause(self, scene: Scene, _: str) -> Reply:
        await self.desk.pause(_by(scene))
        return Reply((scene.note("admin.paused"),))

    async def _resume(self, scene: Scene, _: str) -> Reply:
        await self.desk.resume(_by(scene))
        return Reply((scene.note("admin.resumed"),))

    async def _status(self, scene: Scene, _: str) -> Reply:
        standing, voice = await self.desk.standing(), scene.voice
        lines = [
            voice.say(
                "admin.status",
                wallet="?" if standing.wallet is None else voice.has(standing.wallet),
                owed=voice.costs(standing.owed),
                jobs=standing.open_jobs,
                running=standing.running_jobs,
                backlog=sum(backlog.letters for backlog in standing.backlogs),
                age=voice.span(_age_ms(standing)),
                lnbits=_health(voice, standing, "wallet"),
                model=_health(voice, standing, "model"),
                channels=" ".join(
                    f"{name.capitalize()}: {_health(voice, standing, name)}."
                    for name in self.desk.health.doors
                ),
            ),
            voice.say("admin.paused" if standing.is_paused else "admin.on"),
        ]
        if standing.closes_on:
            lines.append(await self._closing(voice, standing.closes_on))
        return Reply((scene.place.letter(Note("\n".join(lines))),))

    async def _wind_down(self, scene: Scene, wish: str) -> Reply:
        if wish.lower() == "off":
            return Reply((scene.note("admin.winddown_off"),), (StayOpen(_by(scene)),))
        try:
            day = date.fromisoformat(wish)
        except ValueError:
            return Reply((scene.note("admin.usage"),))
        if day < datetime.fromtimestamp(scene.now_ms / 1000, UTC).date():
            return Reply((scene.note("admin.usage"),))
        text = await self._closing(scene.voice, day.isoformat())
        letter = scene.place.letter(Note(text))
        return Reply((letter,), (CloseOn(day.isoformat(), _by(scene)),))

    async def _closing(self, voice: Voice, day: str) -> str:
        told = await self.desk.people_with_money()
        return voice.say("admin.winddown", date=voice.day(day), n=told)

    async def _job(self, scene: Scene, name: str) -> Reply:
        code = code_in(name)
        if code is None:
            return Reply((scene.note("admin.usage"),))
        found = (await self.desk.requests(code))[:SHOWN_MAX]
        if not found:
            return Reply((scene.note("admin.no_job", code=code),))
        texts = [_described(scene.voice, known) for known in found]
        return Reply((scene.place.letter(Note("\n\n".join(texts))),))

    async def _ask_to_credit(self, scene: Scene, rest: str) -> Reply:
        """Ask before money moves; who has the code, or the id, is named in full."""
        name, _, amount = rest.partition(" ")
        code, sats = code_in(name), sats_in(amount)
        if not sats or sats > SATS_MAX:
            return Reply((scene.note("admin.usage"),))
        if code is not None:
            found = await self.desk.requests(code)
            if len(found) > 1:  # the operator has to name the person instead
                return await self._job(scene, code)
            owners = [(known.request.session_id, known.request.peer) for known in found]
        else:
            contacts = await self.desk.contacts(self.id_of(name))
            owners = [(contact.session_id, contact.peer) for contact in contacts]
        if len({session_id for session_id, _ in owners}) != 1:
            key = "admin.no_person" if code is None else "admin.no_job"
            return Reply((scene.note(key, person=name, code=code),))
        session_id, peer = owners[0]
        text = scene.voice.say("admin.credit_ask", amount=scene.voice.sat(sats), person=_name(peer))
        return questions.ask(scene, "credit", text, body=f"{session_id} {sats} {code or name}")

    async def _block(self, scene: Scene, name: str) -> Reply:
        return await self._set_blocked(scene, name, 1)

    async def _unblock(self, scene: Scene, name: str) -> Reply:
        return await self._set_blocked(scene, name, 0)

    async def _set_blocked(self, scene: Scene, name: str, is_blocked: int) -> Reply:
        if not name:
            return Reply((scene.note("admin.usage"),))
        contacts = await self.desk.contacts(self.id_of(name))
        if len({contact.session_id for contact in contacts}) != 1:
            return Reply((scene.note("admin.no_person", person=name),))
        key = "admin.blocked" if is_blocked else "admin.unblocked"
        letter = scene.note(key, person=_name(contacts[0].peer))
        return Reply((letter,), (Block(contacts[0].session_id, is_blocked, _by(scene)),))

    async def _errors(self, scene: Scene, _: str) -> Reply:
        errors = self.last_errors()
        if not errors:
            return Reply((scene.note("admin.no_errors"),))
        return Reply((scene.note("admin.errors", list="\n".join(errors)),))


def _by(scene: Scene) -> str:
    return f"by {_name(scene.place.peer)}"


def _name(peer: Peer) -> str:
    """Somebody, as the operator can name them again."""
    return f"{peer.channel}:{peer.uid}"


def _health(voice: Voice, standing: Standing, name: str) -> str:
    since_ms = standing.away_since_ms.get(name)
    if since_ms is None:
        return voice.say("admin.fine")
    return voice.say("admin.away", duration=voice.span(standing.now_ms - since_ms))


def _age_ms(standing: Standing) -> int:
    return max((standing.now_ms - waiting.oldest_ms for waiting in standing.backlogs), default=0)


def _described(voice: Voice, known: KnownRequest) -> str:
    """A request: who, how it stands, what was paid, and why it ended; never its text."""
    request, job = known.request, known.job
    detail = request.job_id or ""
    if job is not None and job.error_code is not None:
        detail += f" {job.error_code}"
    return voice.say(
        "admin.job",
        code=request.code,
        person=_name(request.peer),
        state=cards.state_of(voice, request),
        date=cards.date(voice, request.created_at_ms),
        amount=voice.has(known.paid),
        detail=detail,
    ).strip()
