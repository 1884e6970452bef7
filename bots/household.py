"""What people may ask about the service and about themselves."""

from collections.abc import Callable
from dataclasses import dataclass

from bots import questions
from bots.cards import date, state_of, title
from bots.scene import Scene, Shop, Voice
from bots.words import sats_in
from core.desk.people_desk import PeopleDesk
from core.desk.people_reply import ForgetRequests, ForgetTalk, Reply, SetLimit, Speak
from core.desk.session_desk import MintedToken
from core.values.mail import Button, Letter, Note, Row
from core.values.texts import Catalogue
from core.values.tokens import to_bearer

PAGE = 8
HISTORY_SLOT = "history"


@dataclass(frozen=True, slots=True)
class Household:
    """Handles what is neither a request nor money. None says that the mail is closed already."""

    desk: PeopleDesk
    shop: Shop
    catalogue: Catalogue

    def hello(self, scene: Scene) -> Reply:
        """Somebody says hello, or comes back."""
        account = scene.view.account
        is_known = bool(account.deposited or account.balance or scene.view.open_requests)
        if is_known:
            return Reply((scene.note("start.back", balance=scene.balance),))
        fee = scene.voice.costs(self.shop.check_fee)
        talk: Row = (Button(scene.voice.say("btn.talk"), "talk", ""),)
        hint = scene.voice.say("hint.talk")
        letter = scene.note(
            "start.hello", name=self.shop.name, check=fee, buttons=(talk,), hint=hint
        )
        return Reply((letter,))

    def help(self, scene: Scene) -> Reply:
        """What there is, and what it costs."""
        letter = scene.note(
            "help",
            check=scene.voice.costs(self.shop.check_fee),
            avg=scene.voice.costs(self.shop.usual_answer),
            contact=self.shop.contact or self.shop.name,
        )
        return Reply((letter,))

    def privacy(self, scene: Scene) -> Reply:
        """What is kept."""
        channel = scene.place.peer.channel.capitalize()
        letter = scene.note("privacy.text", days=self.shop.retention_days, channel=channel)
        return Reply((letter,))

    def languages(self, scene: Scene) -> Reply:
        """Which languages there are."""
        buttons = [
            Button(self.catalogue.say("lang.name", lang), "lang", lang)
            for lang in self.catalogue.languages
        ]
        rows = tuple(tuple(buttons[start : start + 2]) for start in range(0, len(buttons), 2))
        hint = scene.voice.say("hint.lang")
        return Reply((scene.note("lang.pick", buttons=rows, hint=hint, slot="lang"),))

    def speak(self, scene: Scene, lang: str) -> Reply:
        """Somebody picked a language."""
        if lang not in self.catalogue.languages:
            return self.languages(scene)
        note = Note(Voice(self.catalogue, lang).say("lang.set"))
        return Reply((scene.place.redrawn(note, "lang"),), (Speak(lang),))

    def limit(self, scene: Scene, arg: str) -> Reply:
        """Up to what price work starts without asking."""
        current = scene.view.person.limit_sats
        if not arg and not current:
            return Reply((scene.note("limit.none"),))
        if arg.lower() in {"off", "aus", "0"}:
            return Reply((scene.note("limit.off"),), (SetLimit(0),))
        sats = sats_in(arg) if arg else current
        if not sats or sats > self.shop.deposit_max_sats:
            return Reply((scene.note("limit.bad"),))
        letter = scene.note("limit.set", limit=scene.voice.sat(sats))
        return Reply((letter,), (SetLimit(sats),))

    async def token(self, scene: Scene) -> Reply | None:
        """A token for the same balance over HTTP; the one before dies with it."""
        if not (scene.view.account.deposited or scene.view.account.balance):
            return Reply((scene.note("token.no_balance"),))

        def handed_out(minted: MintedToken) -> Reply:
            token = to_bearer(minted.macaroon)
            return Reply((scene.note("token.shown", token=token, balance=scene.balance),))

        await self.desk.hand_out_token(scene.mail, scene.view, reply=handed_out)
        return None

    def ask_to_delete(self, scene: Scene) -> Reply:
        """Somebody wants everything forgotten."""
        if (obstacle := _obstacle(scene)) is not None:
            return Reply((obstacle,))
        return questions.ask(scene, "delete", scene.voice.say("del.ask"))

    def delete(self, scene: Scene) -> Reply:
        """Somebody said yes to that; what was begun meanwhile is not forgotten."""
        if (obstacle := _obstacle(scene)) is not None:
            return Reply((obstacle,))
        return Reply((scene.note("del.done"),), (ForgetTalk(), ForgetRequests()))

    async def history(
        self, scene: Scene, page: int, *, letter: Callable[[Note, str], Letter]
    ) -> Reply:
        """The last requests, one page."""
        skip = (page - 1) * PAGE
        found = await self.desk.history(scene.session_id, skip=skip, limit=PAGE + 1)
        if not found:
            return Reply((letter(Note(scene.voice.say("hist.none")), HISTORY_SLOT),))
        shown = found[:PAGE]
        lines = [scene.voice.say("hist.head")]
        for request in shown:
            line = scene.voice.say(
                "hist.line",
                code=request.code,
                state=state_of(scene.voice, request),
                amount="",
                date=date(scene.voice, request.created_at_ms),
                request=title(request.text),
            )
            lines.append(" ".join(line.split()))
        codes = [Button(f"#{request.code}", "show", request.code) for request in shown]
        rows: list[Row] = [tuple(codes[start : start + 4]) for start in range(0, len(codes), 4)]
        turns = []
        if page > 1:
            turns.append(Button(scene.voice.say("btn.prev"), "page", str(page - 1)))
        if len(found) > PAGE:
            turns.append(Button(scene.voice.say("btn.next"), "page", str(page + 1)))
        if turns:
            rows.append(tuple(turns))
        hint = scene.voice.say("hint.result", code=shown[0].code)
        note = Note("\n".join(lines), buttons=tuple(rows), hint=hint)
        return Reply((letter(note, HISTORY_SLOT),))


def _obstacle(scene: Scene) -> Letter | None:
    """Why not everything can be forgotten now."""
    if scene.view.account.balance:
        return scene.note("del.balance", balance=scene.balance)
    if scene.view.open_requests:
        return scene.note("del.running", code=scene.view.open_requests[0].code)
    return None
