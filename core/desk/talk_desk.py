"""The desk for talk: one answer in a chat, paid from the person's balance.

An answer is held, made and charged as every request of a session is; its charge, what is said of
it and the closing of the question are one transaction. An answer that breaks off costs nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

import structlog

from core.agents.port import Agent, AgentFault, Delta, Message, Model, Usage
from core.books import inbox, metering, talks
from core.books.inbox import Mail
from core.books.metering import Ask, Charged, Hold
from core.books.talks import Turn
from core.desk import people_reply
from core.desk.meter import CALL_S, HOLD_MS, Meter
from core.desk.people_desk import PeopleDesk
from core.desk.people_reply import Reply
from core.desk.person_view import View
from core.desk.running import Running
from core.store.port import Tx
from core.values import pricing
from core.values.money import Msat
from core.values.text import storable

TURNS_MAX = 40  # of the talk that the model sees
OUTPUT_SHARE = 2  # the answer may take one half of the model's context

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BrokeOff:
    """The answer ended too early; `text` is what had come. It costs nothing."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkDesk:
    """Sells answers in a chat."""

    people: PeopleDesk
    meter: Meter
    agent: Agent
    running: Running
    model: Model

    async def hold(self, view: View, question: str) -> tuple[Hold, list[Message]]:
        """Set aside the most that an answer can cost; with what the model is to be asked.

        Raises MoneyMissing, RateLimited, WrongState, Paused, WalletUnavailable, ShuttingDown.
        """
        self.people.check_intake()
        store = self.people.store
        earlier = await store.read(_turns, view.session_id)
        messages = _within(self.model, [*earlier, Message("user", question)])
        size = sum(len(message.content.encode()) for message in messages)
        ask = Ask(
            self.model.id,
            self.model.prices,
            size,
            choices=1,
            wanted=min(self.model.max_output_tokens, self.model.context_tokens // OUTPUT_SHARE),
        )
        hold = await store.write(
            metering.reserve,
            self.people.bearer(view.person),
            ask,
            terms=self.meter.pricing,
            owner=self.meter.process_id,
            expires_at_ms=view.now_ms + HOLD_MS,
        )
        return hold, messages

    async def answer(
        self,
        mail: Mail,
        hold: Hold,
        messages: Sequence[Message],
        *,
        show: Callable[[str], None],
        reply: Callable[[str, Charged], Reply],
    ) -> BrokeOff | None:
        """Make the answer, `show` its text as it grows, and close the mail with `reply`.

        Where it broke off, the hold is given back and the mail is still open.
        """
        return await self.running.finish(self._answer(mail, hold, messages, show, reply))

    async def _answer(
        self,
        mail: Mail,
        hold: Hold,
        messages: Sequence[Message],
        show: Callable[[str], None],
        reply: Callable[[str, Charged], Reply],
    ) -> BrokeOff | None:
        made = _Made()
        try:
            async with asyncio.timeout(CALL_S):
                await self._stream(made, messages, hold.output_limit, show)
        except (AgentFault, TimeoutError) as fault:
            log.warning("answer broke off", reason=str(fault))
            await self.meter.release(hold)
            return BrokeOff(made.text)
        except asyncio.CancelledError:
            await self.meter.release(hold)
            raise
        if not made.text.strip():
            log.warning("answer was empty")
            await self.meter.release(hold)
            return BrokeOff("")
        cost = self.meter.cost(
            self.model.prices,
            hold,
            made.usage,
            sent=sum(len(message.content.encode()) for message in messages),
            made=len(made.text.encode()),
        )
        told = _Told(mail, messages[-1].content, made.text, reply)
        await self.people.store.write(self._charge, hold, cost, told)
        return None

    async def _stream(
        self, made: "_Made", messages: Sequence[Message], limit: int, show: Callable[[str], None]
    ) -> None:
        async for piece in self.agent.stream(self.model, messages, max_output_tokens=limit):
            match piece:
                case Delta():
                    made.text += storable(piece.text)
                    show(made.text)
                case Usage():
                    made.usage = piece
                case _:
                    assert_never(piece)

    async def _charge(self, tx: Tx, hold: Hold, cost: Msat, told: "_Told") -> None:
        now_ms = self.people.clock.now_ms()
        if not await inbox.done(tx, told.mail):  # somebody else has answered it
            await metering.release(tx, hold.hold_id, now_ms)
            return
        ref = f"chat:{told.mail.number}"
        charged = await metering.charge(tx, hold, cost, ref=ref, now_ms=now_ms)
        session_id = told.mail.session_id
        await talks.say(tx, session_id, Turn("user", told.question), now_ms)
        await talks.say(tx, session_id, Turn("assistant", told.answer, cost), now_ms)
        await people_reply.write(tx, session_id, told.reply(told.answer, charged), now_ms)


_NOT_REPORTED = Usage(None, None)


@dataclass
class _Made:
    """An answer as it grows."""

    text: str = ""
    usage: Usage = _NOT_REPORTED


@dataclass(frozen=True, slots=True)
class _Told:
    """A question, its answer, and what is said of it."""

    mail: Mail
    question: str
    answer: str
    reply: Callable[[str, Charged], Reply]


async def _turns(tx: Tx, session_id: str) -> list[Message]:
    said = await talks.turns(tx, session_id, limit=TURNS_MAX)
    return [Message(turn.role, turn.text) for turn in said]


def _within(model: Model, messages: list[Message]) -> list[Message]:
    """As much of the talk, from its end, as one half of the model's context holds."""
    most = model.context_tokens // OUTPUT_SHARE
    kept: list[Message] = []
    size = 0
    for message in reversed(messages):
        size += pricing.estimated_tokens(message.content)
        if kept and size > most:
            break
        kept.insert(0, message)
    return kept
