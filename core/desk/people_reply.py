"""What an answer to a person changes in the books, beside what is said: plain values.

The conversation decides; the desk writes all of it in one transaction with the closing of the mail
that it answers.
"""

from dataclasses import dataclass
from typing import assert_never

from core.books import (
    actions,
    closing,
    decisions,
    inbox,
    invoices,
    outbox,
    people,
    requests,
    talks,
)
from core.books.actions import Action
from core.books.requests import PersonBill, Request
from core.books.talks import Prompt, Turn
from core.store.port import Tx
from core.values.mail import Letter, Peer
from core.values.money import Msat
from core.wallets.port import WalletInvoice


@dataclass(frozen=True, slots=True)
class Speak:
    """The person chose a language."""

    lang: str


@dataclass(frozen=True, slots=True)
class SetLimit:
    """Work up to this price starts without asking; 0 asks."""

    sats: int


@dataclass(frozen=True, slots=True)
class OpenChat:
    """What the person writes is talk from now on."""


@dataclass(frozen=True, slots=True)
class CloseChat:
    """What the person writes is a request from now on."""


@dataclass(frozen=True, slots=True)
class ToldLow:
    """The person knows that the balance is low; told again after money came."""

    told: int


@dataclass(frozen=True, slots=True)
class AddRequest:
    """The person asked for something."""

    request: Request


@dataclass(frozen=True, slots=True)
class DropRequest:
    """A request that was not paid has ended."""

    request: Request


@dataclass(frozen=True, slots=True)
class NewCard:
    """A request's card is drawn anew: its old buttons have no effect."""

    request: Request


@dataclass(frozen=True, slots=True)
class PayOnce:
    """Check and work of a request are paid together."""

    request: Request
    sats: int


@dataclass(frozen=True, slots=True)
class Told:
    """The person knows this state of a request's job."""

    request: Request
    state: str


@dataclass(frozen=True, slots=True)
class Billed:
    """An invoice is shown."""

    made: WalletInvoice
    bill: PersonBill


@dataclass(frozen=True, slots=True)
class PaidBill:
    """An invoice was paid."""

    payment_hash: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A question is open with a peer."""

    peer: Peer
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Answered:
    """No question is open with a peer any more."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class MoveCard:
    """What stands in one slot at a peer stands in another from now on."""

    peer: Peer
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Remind:
    """The conversation is to be told of this at that time."""

    kind: str
    ref: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Say:
    """Something was said in the chat."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class ForgetTalk:
    """What was said is forgotten."""


@dataclass(frozen=True, slots=True)
class ForgetRequests:
    """What was asked for, and what came of it, is forgotten."""


@dataclass(frozen=True, slots=True)
class Block:
    """A person is served no more (1), or again (0)."""

    session_id: str
    is_blocked: int
    by: str


@dataclass(frozen=True, slots=True)
class Give:
    """A person gets something from us, once for each `ref`."""

    session_id: str
    amount: Msat
    ref: str
    reason: str


@dataclass(frozen=True, slots=True)
class CloseOn:
    """The service ends on that day; whoever has a balance is told."""

    day: str
    by: str


@dataclass(frozen=True, slots=True)
class StayOpen:
    """The service does not end."""

    by: str


RequestEffect = (
    AddRequest | DropRequest | NewCard | PayOnce | Told | Billed | PaidBill | Remind | MoveCard
)
PersonEffect = (
    Speak
    | SetLimit
    | OpenChat
    | CloseChat
    | ToldLow
    | Ask
    | Answered
    | Say
    | ForgetTalk
    | ForgetRequests
)
OperatorEffect = Block | Give | CloseOn | StayOpen
Effect = RequestEffect | PersonEffect | OperatorEffect


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said, and what changes."""

    letters: tuple[Letter, ...] = ()
    effects: tuple[Effect, ...] = ()

    def __add__(self, other: "Reply") -> "Reply":
        """Both, this one first."""
        return Reply(self.letters + other.letters, self.effects + other.effects)


async def write(tx: Tx, session_id: str, reply: Reply, now_ms: int) -> None:
    """Write a reply to a person."""
    for effect in reply.effects:
        await _write(tx, session_id, effect, now_ms)
    for letter in reply.letters:
        await outbox.post(tx, letter, now_ms)


async def _write(  # noqa: C901 - one line for each case
    tx: Tx, session_id: str, effect: Effect, now_ms: int
) -> None:
    match effect:
        case AddRequest(request):
            await requests.add(tx, request)
        case DropRequest(request):
            await requests.drop(tx, request)
        case NewCard(request):
            await requests.new_card(tx, request)
        case PayOnce(request, sats):
            await requests.pay_once(tx, request, sats)
        case Told(request, state):
            await requests.tell(tx, request, state)
        case Billed(made, bill):
            invoice = invoices.fresh(made, session_id, "topup", now_ms)
            await invoices.add(tx, invoice, client=session_id)
            await requests.add_bill(tx, bill)
        case PaidBill(payment_hash):
            await requests.pay_bill(tx, payment_hash)
        case Remind(kind, ref, at_ms):
            await inbox.remind(tx, session_id, kind, ref, at_ms=at_ms)
        case MoveCard(peer, before, after):
            await outbox.move(tx, peer, before, after)
        case Block() | Give() | CloseOn() | StayOpen():
            await _write_of_operator(tx, effect, now_ms)
        case _:
            await _write_of_person(tx, session_id, effect, now_ms)


async def _write_of_person(  # noqa: C901 - one line for each case
    tx: Tx, session_id: str, effect: PersonEffect, now_ms: int
) -> None:
    match effect:
        case Speak(lang):
            await people.speak(tx, session_id, lang)
        case SetLimit(sats):
            await people.limit(tx, session_id, sats)
        case OpenChat():
            await people.open_chat(tx, session_id)
        case CloseChat():
            await people.close_chat(tx, session_id)
        case ToldLow(told):
            await people.tell_low(tx, session_id, told)
        case Ask(peer, prompt):
            await talks.ask(tx, peer, prompt)
        case Answered(peer):
            await talks.close(tx, peer)
        case Say(turn):
            await talks.say(tx, session_id, turn, now_ms)
        case ForgetTalk():
            await talks.forget(tx, session_id)
        case ForgetRequests():
            await requests.forget(tx, session_id)
        case _:
            assert_never(effect)


async def _write_of_operator(tx: Tx, effect: OperatorEffect, now_ms: int) -> None:
    match effect:
        case Block(blocked_id, is_blocked, by):
            await people.block(tx, blocked_id, is_blocked)
            action: Action = "block" if is_blocked else "unblock"
            await actions.note(tx, action, subject=blocked_id, reason=by, now_ms=now_ms)
        case Give(session_id, amount, ref, reason):
            await decisions.give(tx, session_id, amount, ref=ref, reason=reason, now_ms=now_ms)
        case CloseOn(day, by):
            await closing.announce(tx, day, now_ms)
            await actions.note(tx, "close", subject=day, reason=by, now_ms=now_ms)
        case StayOpen(by):
            await closing.call_off(tx)
            await actions.note(tx, "stay open", reason=by, now_ms=now_ms)
        case _:
            assert_never(effect)
