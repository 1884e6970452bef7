"""The conversation: what something that came in means, and who handles it.

Everything is derived from rows; nothing is remembered between two messages. Mail that could not be
answered, because somebody outside is away, is answered when it is tried again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bots import questions
from bots.asking import Asking
from bots.chatting import Chatting
from bots.commands import Commands
from bots.files import Files
from bots.following import Following
from bots.linking import Linking
from bots.presses import Presses
from bots.purse import Purse
from bots.scene import Place, Scene, Shop, Voice
from bots.words import command_in, has_words, is_destination, is_greeting, says_paid
from core.books.inbox import Event, Mail
from core.books.talks import Prompt
from core.desk.people_desk import PeopleDesk
from core.desk.people_reply import Reply
from core.values.errors import (
    Paused,
    QueueFull,
    RateLimited,
    ShuttingDown,
    Unavailable,
    WrongState,
)
from core.values.mail import (
    Button,
    Edited,
    Elsewhere,
    Inbound,
    Letter,
    Link,
    Note,
    Presence,
    Press,
    Text,
    Unsupported,
)
from core.values.money import Msat
from core.values.text import storable
from core.values.texts import Catalogue

MESSAGES_PER_MINUTE = 20
OLD_MS = 86_400_000  # what was written longer ago is not done unasked
NIP04 = "nip04"  # how somebody writes, and the slot of what they are told of it
REQUEST_LENGTH = 40  # a longer text is a request though a question of ours is open


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Answers mail, one piece at a time for each person."""

    desk: PeopleDesk
    shop: Shop
    catalogue: Catalogue
    asking: Asking
    following: Following
    purse: Purse
    chatting: Chatting
    commands: Commands
    presses: Presses
    linking: Linking
    files: Files
    private_url: Callable[[], str]  # where to write to us alone, for whoever met us in a group

    async def answer(self, mail: Mail) -> None:
        """Answer one piece of mail and close it.

        Raises what could not be had from outside: then the mail is as it was.
        """
        scene = await self._scene(mail)
        if scene.is_back:
            back = scene.note("sys.back")
            await self.desk.welcome_back(scene.place.peer, back)
        await self._warn_of_nip04(scene)
        try:
            match mail.item:
                case Event():
                    reply = await self._told(scene, mail.item)
                case Inbound():
                    reply = await self._came_in(scene, mail.item)
        except (Paused, ShuttingDown, QueueFull):
            if isinstance(mail.item, Event):  # nobody asked just now: it is done later
                raise
            reply = Reply((scene.note("sys.paused"),))
        except RateLimited as refusal:
            if isinstance(mail.item, Event):  # running answers hold the money: they end soon
                raise Unavailable(refusal.detail) from refusal
            reply = Reply((scene.note("busy.slow", seconds=refusal.retry_after_s),))
        except WrongState:  # the account is frozen, or was closed over HTTP
            reply = Reply((scene.note("sys.blocked"),))
        if reply is not None:
            await self.desk.finish(mail, reply)

    async def give_up(self, mail: Mail, ref: str) -> None:
        """Say that something went wrong with this piece, which has been closed for good."""
        scene = await self._scene(mail)
        await self.desk.say(mail.session_id, Reply((scene.note("sys.error", ref=ref),)))

    async def _scene(self, mail: Mail) -> Scene:
        if isinstance(mail.item, Inbound):
            view = await self.desk.view(mail.session_id, mail.item.peer)
            via = mail.item.via or ("" if view.contact is None else view.contact.via)
            place = Place(mail.item.peer, via, mail.item.message_id)
        else:
            view = await self.desk.view(mail.session_id, None)
            contact = view.contacts[0]
            place = Place(contact.peer, contact.via)
        return Scene(mail, view, Voice(self.catalogue, view.lang), place)

    async def _warn_of_nip04(self, scene: Scene) -> None:
        """Say once to whoever writes by NIP-04 what others can see of it."""
        if not isinstance(scene.mail.item, Inbound) or scene.place.via != NIP04:
            return
        if not await self.desk.has_seen(scene.place.peer, NIP04):
            warning = scene.note("nostr.nip04", slot=NIP04)
            await self.desk.say(scene.session_id, Reply((replace(warning, is_news=False),)))

    async def _told(self, scene: Scene, event: Event) -> Reply | None:
        match event.what:
            case "paid":
                return await self._paid(scene, event)
            case "job":
                return await self.following.job_moved(scene, event.ref)
            case "refund":
                return await self.purse.refunds_moved(scene)
            case "reminder":
                return await self.following.reminded(scene, event)
            case "link":
                return await self.linking.told(scene, event)
            case "closing":
                farewell = scene.farewell
                return Reply() if farewell is None else Reply((farewell,))

    async def _paid(self, scene: Scene, event: Event) -> Reply | None:
        bill, amount = await self.desk.bill(event.ref), Msat(event.amount_msat)
        if bill is None:
            return self.purse.paid(scene, None, amount)
        if bill.ref:
            return await self.following.paid(scene, bill, amount)
        view = await self.desk.view(scene.session_id, bill.peer)
        at = replace(scene, view=view).at(bill.peer)
        return await self.chatting.paid(at, bill, amount)

    async def _came_in(self, scene: Scene, inbound: Inbound) -> Reply | None:
        match inbound.body:
            case Elsewhere():
                return Reply((self._in_private(scene),))
            case Presence(is_reachable=is_reachable):
                if not is_reachable:  # whoever is back was welcomed before
                    await self.desk.lose(inbound.peer)
                return Reply()
            case Edited():
                return await self._edited(scene, inbound)
            case Press():
                return await self.presses.pressed(scene, inbound.body)
            case Unsupported():
                return self._unsupported(scene, inbound.body)
            case Text():
                return await self._text(scene, inbound, inbound.body)

    async def _text(self, scene: Scene, inbound: Inbound, body: Text) -> Reply | None:
        """What a text means, in this order."""
        text, prompt = storable(body.text).strip(), scene.view.prompt
        command = None if body.file else command_in(text)
        excess = scene.view.wrote_lately - MESSAGES_PER_MINUTE
        if excess > 0 and not (command is not None and command.name == "withdraw"):
            slow = scene.note("busy.slow", seconds=60)
            return Reply((slow,) if excess == 1 else ())
        if command is not None and not (command.name == "all" and prompt is None):
            return await self.commands.do(scene, command)
        whole = await self.files.whole(scene, body)
        if isinstance(whole, Letter):
            return Reply((whole,))
        if (prompt is not None and len(text) <= REQUEST_LENGTH) or is_destination(text):
            return await self._answered(scene, text, prompt)
        if scene.now_ms - inbound.at_ms > OLD_MS:
            text = scene.voice.say("sys.late_read")
            return questions.ask_for_text(scene, "late", text, body=whole)
        return await self._plain(scene, inbound, storable(whole).strip())

    async def _answered(self, scene: Scene, text: str, prompt: Prompt | None) -> Reply | None:
        """An answer to a question of ours, or a destination that nobody asked for."""
        asks_where_to = prompt is not None and prompt.kind == "withdraw"
        if is_destination(text) or asks_where_to:
            return await self.purse.confirm(scene, text)
        return await self._plain(scene, None, text)

    async def _plain(self, scene: Scene, inbound: Inbound | None, text: str) -> Reply | None:
        """No command and no answer: talk where a chat is open, else a request."""
        if not text:
            return Reply((scene.note("ref.empty"),))
        if says_paid(text) and await self.desk.open_bills(scene.session_id):
            return await self.presses.look(scene)
        if not has_words(text):
            return Reply((scene.note("ref.empty"),))
        if text.lower().startswith("cashu"):
            return Reply((scene.note("ref.lightning_only"),))
        if scene.view.person.is_chatting:
            return await self.chatting.turn(scene, text)
        if await self.chatting.is_funded_next(scene):
            return self.chatting.keep(scene, text)
        if is_greeting(text):
            return self.commands.household.hello(scene)
        if inbound is not None and await self._is_about_a_price(inbound):
            return Reply((scene.note("price.no_haggling"),))
        return await self.asking.ask(scene, text)

    async def _is_about_a_price(self, inbound: Inbound) -> bool:
        if inbound.reply_to is None:
            return False
        slot = await self.desk.slot_of(inbound.peer, inbound.reply_to)
        return slot is not None and slot.endswith(":price")

    async def _edited(self, scene: Scene, inbound: Inbound) -> Reply:
        """A request that was changed after it was sent."""
        if inbound.message_id is None:
            return Reply()
        request = await self.desk.request_asked_in(scene.session_id, inbound.message_id)
        if request is None or request.state == "dropped":
            return Reply()
        cancel = Button(scene.voice.say("btn.cancel"), "cancel", request.code, request.version)
        is_unpaid = request.state == "unpaid"
        hint = scene.voice.say("hint.cancel_code", code=request.code)
        letter = scene.note(
            "ref.edited",
            code=request.code,
            buttons=((cancel,),) if is_unpaid else (),
            hint=hint if is_unpaid else "",
        )
        return Reply((letter,))

    def _unsupported(self, scene: Scene, body: Unsupported) -> Reply:
        """Something that is not text; said once for an album."""
        kind = scene.voice.say(f"kind.{body.kind}" if body.kind in _KINDS else "kind.other")
        caption = storable(body.caption).strip()
        if caption:
            text = scene.voice.say("ref.caption", kind=kind)
            return questions.ask_for_text(scene, "caption", text, body=caption)
        if body.group is None:
            return Reply((scene.note("ref.text_only", kind=kind),))
        note = Note(scene.voice.say("ref.text_only", kind=kind))
        return Reply((scene.place.redrawn(note, f"album:{body.group}"),))

    def _in_private(self, scene: Scene) -> Letter:
        """Where others read along, only the way to us is said; once an hour."""
        text = scene.voice.say("ref.group")
        url, hour = self.private_url(), scene.now_ms // 3_600_000
        buttons = ((Link(scene.voice.say("btn.private"), url),),) if url else ()
        return scene.place.redrawn(Note(text, buttons=buttons), f"group:{hour}")


_KINDS = frozenset(
    {
        *("photo", "voice", "audio", "video", "animation", "sticker", "location", "contact"),
        *("poll", "dice", "story", "document", "reaction"),
    }
)
