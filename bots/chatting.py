"""A chat: talk that is paid answer by answer, from the balance."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from bots.cards import withdraw_button
from bots.purse import USUAL_DEPOSIT_SATS, Purse
from bots.questions import wait_for
from bots.scene import Place, Scene, Shop
from core.books.metering import Charged, MoneyMissing
from core.books.requests import PersonBill
from core.desk.people_desk import PeopleDesk
from core.desk.people_reply import (
    Answered,
    Ask,
    CloseChat,
    ForgetTalk,
    OpenChat,
    Reply,
    ToldLow,
)
from core.desk.talk_desk import TalkDesk
from core.values.errors import Paused
from core.values.mail import Button, Letter, Result
from core.values.money import Msat, from_sats

OPENS_AT_SATS = 100  # a chat opens without a deposit where there is so much
KEPT_MS = 7 * 86_400_000  # a question that waits for money is kept this long
LOW_ANSWERS = 3


class Stage(Protocol):
    """Where an answer can be seen while it is being made. What is shown there may be lost."""

    def show(self, place: Place, stream: int, text: str) -> None:
        """Show the text so far of this stream."""
        ...


@dataclass(frozen=True, slots=True)
class Chatting:
    """Handles talk. None says that the mail is closed already."""

    desk: PeopleDesk
    talk: TalkDesk
    purse: Purse
    shop: Shop
    stage: Stage

    async def open(self, scene: Scene, sats: int | None) -> Reply:
        """Somebody wants to talk; with too little money, a deposit comes first."""
        if (refusal := scene.refusal) is not None:
            return Reply((refusal,))
        if sats is None and scene.view.free >= from_sats(OPENS_AT_SATS):
            return Reply((scene.note("chat.on", balance=scene.balance),), (OpenChat(),))
        return await self.purse.deposit(scene, "chat", sats or USUAL_DEPOSIT_SATS, key="chat.fund")

    async def fund(self, scene: Scene, sats: int) -> Reply:
        """Another amount on the card of the deposit that opens a chat."""
        return await self.purse.deposit(scene, "chat", sats, key="chat.fund", is_redrawn=True)

    def close(self, scene: Scene) -> Reply:
        """Somebody has talked enough."""
        if not scene.view.person.is_chatting:
            return Reply((scene.note("chat.none_open"),))
        buttons = ((withdraw_button(scene.voice),),)
        letter = scene.note(
            "chat.closed",
            balance=scene.balance,
            buttons=buttons if scene.view.free else (),
            hint=scene.voice.say("hint.withdraw") if scene.view.free else "",
        )
        return Reply((letter,), (CloseChat(),))

    def forget(self, scene: Scene) -> Reply:
        """Somebody wants a fresh start."""
        return Reply((scene.note("chat.new", balance=scene.balance),), (ForgetTalk(),))

    async def paid(self, scene: Scene, bill: PersonBill, amount: Msat) -> Reply | None:
        """A deposit came: the chat is open, and a question that waited is answered."""
        card = self.purse.paid(scene, bill, amount)
        if _says_more(scene, bill):
            card = _passing(card)
        opened = Reply((), (ToldLow(0),))
        if bill.kind == "chat" and not scene.view.person.is_chatting:
            on = scene.note("chat.on", balance=scene.balance)
            opened += Reply((on,), (OpenChat(),))
        prompt = scene.view.prompt
        if prompt is not None and prompt.kind == "question":
            answered = Reply((), (Answered(scene.place.peer),))
            place = replace(scene.place, message_id=prompt.ref or None)
            before = card + opened + answered
            try:
                return await self.turn(replace(scene, place=place), prompt.body, before)
            except Paused:  # the deposit is told all the same; the question is to be asked again
                return before + Reply((scene.note("sys.paused"),))
        return card + opened

    async def is_funded_next(self, scene: Scene) -> bool:
        """Whether somebody has asked for a chat whose deposit is not paid yet."""
        bills = await self.desk.open_bills(scene.session_id)
        return any(bill.kind == "chat" for bill in bills)

    def keep(self, scene: Scene, text: str) -> Reply:
        """What is said before the deposit is paid is answered when it is."""
        return Reply((scene.note("chat.kept"),), (_kept(scene, text),))

    async def turn(self, scene: Scene, text: str, first: Reply | None = None) -> Reply | None:
        """Somebody says something; `first` is said and written before the answer."""
        before = first or Reply()
        if scene.view.person.is_blocked:
            return before + Reply((scene.note("sys.blocked"),))
        try:
            hold, messages = await self.talk.hold(scene.view, text)
        except MoneyMissing as shortage:
            return before + await self._empty(scene, text, shortage)
        broken = await self.talk.answer(
            scene.mail,
            hold,
            messages,
            show=self._shower(scene),
            reply=lambda answer, charged: before + self._said(scene, answer, charged),
        )
        return None if broken is None else before + self._broken(scene, broken.text)

    def _said(self, scene: Scene, answer: str, charged: Charged) -> Reply:
        voice, left = scene.voice, charged.balance
        foot = voice.say("chat.foot", cost=voice.costs(charged.cost), balance=voice.has(left))
        letters: tuple[Letter, ...] = (
            scene.place.letter(Result(answer, name="answer", foot=foot)),
        )
        answers = left // max(1, self.shop.usual_answer)
        if answers >= LOW_ANSWERS or scene.view.person.was_told_low:
            return Reply(letters)
        amount = voice.sat(USUAL_DEPOSIT_SATS)
        topup = Button(voice.say("btn.topup", amount=amount), "topup", str(USUAL_DEPOSIT_SATS))
        low = scene.note(
            "chat.low",
            n=answers,
            balance=voice.has(left),
            buttons=((topup,),),
            hint=voice.say("hint.topup"),
        )
        return Reply((*letters, low), (ToldLow(1),))

    def _broken(self, scene: Scene, text: str) -> Reply:
        if not text.strip():
            return Reply((scene.note("chat.failed"),))
        foot = scene.voice.say("chat.partial")
        return Reply((scene.place.letter(Result(text, name="answer", foot=foot)),))

    async def _empty(self, scene: Scene, text: str, shortage: MoneyMissing) -> Reply:
        """The balance does not cover an answer: the question waits for money."""
        most = from_sats(self.shop.deposit_max_sats)
        if shortage.missing > most:
            hold = scene.voice.costs(shortage.needed)
            letter = scene.note("chat.too_dear", hold=hold, balance=scene.balance)
            return Reply((letter,))
        card = await self.purse.deposit(scene, "chat", USUAL_DEPOSIT_SATS, key="chat.empty")
        return card + Reply((), (_kept(scene, text),))

    def _shower(self, scene: Scene) -> Callable[[str], None]:
        def show(text: str) -> None:
            self.stage.show(scene.place, scene.mail.number, text)

        return show


def _kept(scene: Scene, text: str) -> Ask:
    """What was said waits for money."""
    message_id = scene.place.message_id or ""
    return wait_for(scene, "question", text, ref=message_id, life_ms=KEPT_MS)


def _says_more(scene: Scene, bill: PersonBill) -> bool:
    """Whether something follows a deposit that tells of the balance, too."""
    prompt = scene.view.prompt
    is_answered = prompt is not None and prompt.kind == "question"
    return is_answered or (bill.kind == "chat" and not scene.view.person.is_chatting)


def _passing(card: Reply) -> Reply:
    """The same, said only where it can take the place of the invoice."""
    letters = tuple(replace(letter, is_passing=True) for letter in card.letters)
    return Reply(letters, card.effects)
