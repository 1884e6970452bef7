"""Buttons, and the same wishes in words."""

from dataclasses import dataclass

from bots import linking
from bots.asking import Asking
from bots.chatting import Chatting
from bots.household import Household
from bots.linking import Linking
from bots.operator import Operator
from bots.purse import Purse
from bots.questions import slot_of
from bots.scene import Scene
from core.books.talks import Prompt
from core.desk.people_desk import PeopleDesk
from core.desk.people_reply import Answered, Reply
from core.values.mail import Button, Letter, Note, Press

LOOKED_UP_MAX = 3  # invoices that are looked up when somebody says that they are paid
NOT_YET_SLOT = "not-yet"


@dataclass(frozen=True, slots=True)
class Presses:
    """Does what buttons say. None says that the mail is closed already."""

    desk: PeopleDesk
    asking: Asking
    purse: Purse
    chatting: Chatting
    household: Household
    linking: Linking
    operator: Operator

    async def pressed(self, scene: Scene, press: Press) -> Reply | None:
        """A button of ours was pressed by its owner."""
        prompt = scene.view.prompt
        match press.verb:
            case "yes" | "drop":
                if prompt is None or prompt.ref != press.ref:
                    return Reply()  # its toast says that it is out of date
                if press.verb == "yes":
                    return await self.yes(scene, prompt)
                return await self.drop(scene, prompt)
            case "topup":
                return await self.purse.top_up(scene, int(press.ref))
            case "fund":
                return await self.chatting.fund(scene, int(press.ref))
            case "withdraw":
                return await self.purse.withdraw(scene, "")
            case "talk":
                return await self.chatting.open(scene, None)
            case "lang":
                return self.household.speak(scene, press.ref)
            case "check_again":
                return await self.look(scene)
            case "page":
                return await self._turn_page(scene, int(press.ref))
            case _:
                return await self._of_request(scene, press)

    async def wish(self, scene: Scene, name: str, code: str) -> Reply | None:
        """What somebody wants of one request, in a word."""
        match name:
            case "yes":
                return await self.asking.accept(scene, code)
            case "no":
                return await self.asking.leave(scene, code, key="card.declined")
            case "once":
                return await self.asking.pay_once(scene, code)
            case "new":
                return await self.asking.renew(scene, code)
            case _:
                return await self.asking.leave(scene, code, key="card.cancelled")

    async def yes(self, scene: Scene, prompt: Prompt) -> Reply | None:
        """Yes to the question that is open."""
        answered = Reply((), (Answered(scene.place.peer),))
        match prompt.kind:
            case "send":
                return await self.purse.send(scene, prompt)
            case "delete":
                return self.household.delete(scene) + answered
            case linking.TAKER:
                return await self.linking.taken(scene, prompt)
            case linking.MAKER:
                return await self.linking.confirmed(scene, prompt)
            case "credit":
                return await self.operator.credit(scene, prompt)
            case "caption" | "late":
                return await self.asking.ask(scene, prompt.body, *answered.effects)
            case "withdraw":
                return await self.purse.withdraw(scene, "")  # a yes is no place to send it to
            case _:
                return answered

    async def drop(self, scene: Scene, prompt: Prompt) -> Reply | None:
        """No to the question that is open."""
        if prompt.kind == linking.MAKER:
            return await self.linking.refused(scene, prompt)
        keys = {"send": "wd.cancelled", "delete": "del.kept", linking.TAKER: "link.refused"}
        key = keys.get(prompt.kind, "card.ok")
        note = Note(scene.voice.say(key, balance=scene.balance))
        return Reply((scene.place.redrawn(note, slot_of(prompt)),), (Answered(scene.place.peer),))

    async def look(self, scene: Scene) -> Reply:
        """Somebody says that an invoice is paid: the wallet is asked, and nothing else counts."""
        bills = await self.desk.open_bills(scene.session_id)
        if not bills or await self.desk.look(scene.session_id, LOOKED_UP_MAX):
            return Reply()  # the payment itself is told next
        again = Button(scene.voice.say("btn.check_again"), "check_again", "")
        hint = scene.voice.say("hint.paid")
        text = scene.voice.say("pay.not_yet", code=bills[0].ref or "—")
        note = Note(text, buttons=((again,),), hint=hint)
        return Reply((scene.place.letter(note, slot=NOT_YET_SLOT),))

    async def _of_request(self, scene: Scene, press: Press) -> Reply | None:
        request = await self.desk.request(scene.session_id, press.ref)
        if request is None or press.version not in {0, request.version}:
            return Reply()
        match press.verb:
            case "do_it":
                return await self.asking.accept(scene, press.ref)
            case "no":
                return await self.asking.leave(scene, press.ref, key="card.declined")
            case "cancel":
                return await self.asking.leave(scene, press.ref, key="card.cancelled")
            case "once":
                return await self.asking.pay_once(scene, press.ref)
            case "new_invoice":
                return await self.asking.renew(scene, press.ref)
            case "again":
                return await self.asking.again(scene, press.ref)
            case "chat_more":
                return await self.asking.talk_about(scene, press.ref)
            case "show":
                return await self.asking.show(scene, press.ref)
            case _:
                return Reply()

    async def _turn_page(self, scene: Scene, page: int) -> Reply:
        def letter(note: Note, slot: str) -> Letter:
            return scene.place.redrawn(note, slot)

        return await self.household.history(scene, page, letter=letter)
