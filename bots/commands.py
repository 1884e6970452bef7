"""Commands: the words that mean something by themselves, on every channel the same."""

from dataclasses import dataclass

from bots.asking import Asking
from bots.chatting import Chatting
from bots.household import Household
from bots.linking import Linking
from bots.operator import Operator
from bots.presses import Presses
from bots.purse import Purse
from bots.scene import Scene
from bots.words import Command, code_in, sats_in
from core.books.requests import Request
from core.books.talks import Prompt
from core.desk.people_reply import Reply
from core.values.mail import Letter, Note


@dataclass(frozen=True, slots=True)
class Commands:
    """Does what commands say. None says that the mail is closed already."""

    asking: Asking
    purse: Purse
    chatting: Chatting
    household: Household
    linking: Linking
    presses: Presses
    operator: Operator

    async def do(self, scene: Scene, command: Command) -> Reply | None:
        """Do what a command says; one that we do not know is told so."""
        arg, code = command.arg, code_in(command.arg)
        match command.name:
            case "job" if arg:
                return await self.asking.ask(scene, arg)
            case "job":
                return Reply((scene.note("job.no_text"),))
            case "cancel" | "yes" | "no" | "once" | "new" | "all":
                return await self._wish(scene, command.name, code)
            case "topup" if arg and sats_in(arg) is None:
                return Reply((scene.note("sys.unknown_cmd"),))
            case "topup":
                return await self.purse.top_up(scene, sats_in(arg))
            case "withdraw":
                return await self.purse.withdraw(scene, arg)
            case "chat":
                return await self.chatting.open(scene, sats_in(arg))
            case "token":
                return await self.household.token(scene)
            case "history" if code is not None and not arg.isdigit():
                return await self.asking.show(scene, code)
            case "history":
                return await self._history(scene, arg)
            case "start":
                return await self._start(scene, arg)
            case _:
                return await self._plain(scene, command)

    async def _plain(self, scene: Scene, command: Command) -> Reply | None:
        match command.name:
            case "help":
                return self.household.help(scene)
            case "balance":
                return self.purse.show(scene)
            case "close":
                return self.chatting.close(scene)
            case "lang" if command.arg:
                return self.household.speak(scene, command.arg.lower())
            case "lang":
                return self.household.languages(scene)
            case "limit":
                return self.household.limit(scene, command.arg)
            case "privacy":
                return self.household.privacy(scene)
            case "delete":
                return self.household.ask_to_delete(scene)
            case "link":
                return await self.linking.link(scene, command.arg)
            case "unlink":
                return await self.linking.unlink(scene)
            case "admin":
                return await self.operator.do(scene, command.arg)
            case _:
                return Reply((scene.note("sys.unknown_cmd"),))

    async def _wish(self, scene: Scene, name: str, code: str | None) -> Reply | None:
        """A wish for one request, named by its code where several could be meant."""
        prompt = scene.view.prompt
        if code is None and prompt is not None and await self._is_meant(scene, name, prompt):
            if name in {"yes", "all"}:
                return await self.presses.yes(scene, prompt)
            if name in {"no", "cancel"}:
                return await self.presses.drop(scene, prompt)
        if name == "new" and code is None:
            return self.chatting.forget(scene)
        if code is None:
            meant = [one for one in scene.view.open_requests if _may_be_meant(name, one)]
            if not meant:
                return Reply((scene.note("sys.stale"),))
            if len(meant) > 1 and name in {"yes", "no"}:
                which = scene.note("job.which", code=meant[0].code, code2=meant[1].code)
                return Reply((which,))
            code = meant[-1].code
        return await self.presses.wish(scene, name, code)

    async def _is_meant(self, scene: Scene, name: str, prompt: Prompt) -> bool:
        """Whether a bare word answers this question: a price that was named later comes first."""
        if prompt.kind == "question":
            return False
        if name not in {"yes", "no"}:
            return True
        for request in scene.view.open_requests:
            if request.told == "awaiting_work_payment" and request.job_id is not None:
                job = await self.presses.desk.job(request.job_id)
                if job.updated_at_ms > prompt.asked_at_ms:
                    return False
        return True

    async def _history(self, scene: Scene, arg: str) -> Reply:
        page = int(arg) if arg.isdigit() and 0 < int(arg) < 1000 else 1

        def letter(note: Note, slot: str) -> Letter:
            return scene.place.letter(note, slot=slot)

        return await self.household.history(scene, page, letter=letter)

    async def _start(self, scene: Scene, payload: str) -> Reply | None:
        """The first press in a new chat, or a link that led here; its text proves nothing."""
        kind, _, ref = payload.partition("_")
        match kind:
            case "chat":
                return await self.chatting.open(scene, None)
            case "topup":
                return await self.purse.top_up(scene, None)
            case "link" if ref:
                return await self.linking.link(scene, ref)
            case "job" if code_in(ref) is not None:
                return await self.asking.show(scene, ref.upper())
            case _:
                return self.household.hello(scene)


def _may_be_meant(name: str, request: Request) -> bool:
    match name:
        case "yes" | "no":
            return request.told == "awaiting_work_payment"
        case "once":
            return request.state == "unpaid"
        case _:
            return request.state == "unpaid" or request.told in {"", "awaiting_work_payment"}
