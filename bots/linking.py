"""Joining what somebody has here with what the same person has elsewhere, and parting again.

Both sides are asked, each is told who the other is, and the amount at stake.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bots import questions
from bots.scene import Place, Scene
from core.books.inbox import Event
from core.books.links import LIFE_MS
from core.books.people import Contact
from core.books.talks import Prompt
from core.desk.link_desk import LinkDesk, LinkView, MadeLink, Outcome, Side
from core.desk.people_reply import Answered, Reply
from core.values.link_codes import bare
from core.values.mail import Copy, Letter, Note
from core.values.names import called

TAKER, MAKER = "link_new", "link_old"  # prompts: who is asked


@dataclass(frozen=True, slots=True)
class Linking:
    """Handles codes and both sides' answers. None says that the mail is closed already."""

    desk: LinkDesk
    address: Callable[[], str]  # where to write to us, as an https address; "" for nowhere

    async def link(self, scene: Scene, code: str) -> Reply | None:
        """Somebody wants a code, or gives one. Raises RateLimited after too many wrong ones."""
        if scene.view.person.is_blocked:
            return Reply((scene.note("sys.blocked"),))
        if not code:
            return await self._make(scene)
        found = await self.desk.find(scene.session_id, code)
        if found is None or found.other is None:
            return Reply((scene.note("link.bad"),))
        balance = scene.voice.has(scene.view.account.balance)
        text = scene.voice.say("link.ask_new", other=found.other.name, balance=balance)
        return questions.ask(scene, TAKER, text, body=found.link_id, life_ms=LIFE_MS)

    async def taken(self, scene: Scene, prompt: Prompt) -> Reply | None:
        """The taker said yes: the maker is asked next."""

        def asked(view: LinkView | None) -> Reply:
            if view is None or view.other is None:
                return self._answered(scene, prompt, scene.voice.say("link.bad"))
            waits = scene.voice.say("link.waits", other=view.other.name)
            return self._answered(scene, prompt, waits)

        await self.desk.take_in_chat(scene.mail, prompt.body, reply=asked)
        return None

    async def confirmed(self, scene: Scene, prompt: Prompt) -> Reply | None:
        """The maker said yes: where it can be, both are told that they are one."""

        def ended(outcome: Outcome, joint: Side) -> Reply:
            match outcome:
                case "over":
                    return self._answered(scene, prompt, scene.voice.say("link.bad"))
                case "not now":  # the question stays open
                    return Reply((scene.note("link.busy"),))
                case "joined":
                    text = _done(scene, joint)
                    others = _letters(text, joint.contacts, leave_out=(scene.place,))
                    return self._answered(scene, prompt, text) + Reply(others)

        await self.desk.confirm_in_chat(scene.mail, prompt.body, reply=ended)
        return None

    async def refused(self, scene: Scene, prompt: Prompt) -> Reply | None:
        """The maker said no: the taker is told, too."""
        text = scene.voice.say("link.refused")

        def ended(view: LinkView | None) -> Reply:
            there = () if view is None or view.other is None else view.other.contacts
            return self._answered(scene, prompt, text) + Reply(_letters(text, there))

        await self.desk.refuse_in_chat(scene.mail, prompt.body, reply=ended)
        return None

    async def told(self, scene: Scene, event: Event) -> Reply:
        """A link was taken, so that its maker is asked; or its maker has joined over HTTP."""
        view = await self.desk.seen_by(scene.session_id, event.ref)
        if view is None or view.other is None:
            return Reply()
        if event.kind == "joined":
            joint = Side(scene.session_id, scene.view.contacts, scene.view.account.balance)
            return Reply(_letters(_done(scene, joint), joint.contacts))
        if view.state != "taken":
            return Reply()
        asked = replace(scene, place=_place_of(view, scene))
        balance = scene.voice.has(scene.view.account.balance)
        text = scene.voice.say("link.ask_old", other=view.other.name, balance=balance)
        return questions.ask(asked, MAKER, text, body=view.link_id, life_ms=LIFE_MS)

    async def unlink(self, scene: Scene) -> Reply | None:
        """Somebody wants this channel to be apart."""
        contact = scene.view.contact
        assert contact is not None, "whoever writes is known"

        def parted(to: Contact | None) -> Reply:
            keeper = scene.session_id if to is None else called(to.peer, to.name)
            other = called(contact.peer, contact.name)
            text = scene.voice.say("unlink.done", other=other, keeper=keeper)
            there = _letters(text, () if to is None else (to,))
            return Reply((scene.place.letter(Note(text)), *there))

        if await self.desk.part(scene.mail, scene.view, reply=parted):
            return None
        return Reply((scene.note("unlink.alone"),))

    async def _make(self, scene: Scene) -> Reply | None:
        def shown(made: MadeLink) -> Reply:
            text = scene.voice.say("link.code", code=made.code)
            if address := self.address():
                text += f"\n{address}?start=link_{bare(made.code)}"
            copy = Copy(scene.voice.say("btn.copy_code"), f"/link {made.code}")
            return Reply((scene.place.letter(Note(text, buttons=((copy,),))),))

        await self.desk.make_in_chat(scene.mail, scene.place.peer, reply=shown)
        return None

    def _answered(self, scene: Scene, prompt: Prompt, text: str) -> Reply:
        """The question is answered: the text stands in its place."""
        letter = scene.place.redrawn(Note(text), questions.slot_of(prompt))
        return Reply((letter,), (Answered(scene.place.peer),))


def _place_of(view: LinkView, scene: Scene) -> Place:
    """Where the maker is asked: where the code was made, else where the person was seen last."""
    made_at = (contact for contact in scene.view.contacts if contact.peer == view.place)
    contact = next(made_at, scene.view.contacts[0])
    return Place(contact.peer, contact.via)


def _done(scene: Scene, joint: Side) -> str:
    channels = sorted(contact.peer.channel.capitalize() for contact in joint.contacts)
    if len(channels) < 2:  # then one side is a session that was opened over HTTP
        channels.append("API")
    return scene.voice.say(
        "link.done", channels=", ".join(channels), balance=scene.voice.has(joint.balance)
    )


def _letters(
    text: str, contacts: Iterable[Contact], *, leave_out: tuple[Place, ...] = ()
) -> tuple[Letter, ...]:
    done = {place.peer for place in leave_out}
    return tuple(
        Place(contact.peer, contact.via).letter(Note(text))
        for contact in contacts
        if contact.peer not in done
    )
