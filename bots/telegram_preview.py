"""Shows an answer while it is being made: as a draft, or by edits of one message.

Drafts are of Bot API 9.5; an older server gets a message that grows, and that goes away when the
answer itself is there. Telegram counts edits like messages, so they come ever more rarely. All of
this lives in memory and may be lost; the answer itself never passes here.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from bots.channel import Bad, Down, Outcome, TryLater
from bots.markup import plain
from bots.styled import Styled, split
from bots.telegram_faults import Failed
from bots.telegram_out import Delete, EditText
from core.values.clock import Clock

STEP: Final = 40  # new characters before anything is shown again
DRAFT_PAUSE_S: Final = 0.7
EDIT_PAUSE_S: Final = 1.5
FLOOD_PAUSE_S: Final = 5.0  # where Telegram does not say how long

log = structlog.get_logger(__name__)


class Screen(Protocol):
    """The calls of Telegram that this takes; each raises Failed."""

    async def draft(self, chat: int, draft_id: int, text: str) -> None:
        """Show the text of a message that is still being written."""
        ...

    async def say(self, chat: int, text: str) -> int:
        """Send a plain message without a sound; return its id."""
        ...

    async def perform(self, chat: int, step: EditText | Delete) -> object:
        """Edit or delete such a message."""
        ...


@dataclass(slots=True)
class _Stream:
    """What one chat sees of an answer."""

    number: int
    shown: int = 0  # characters
    step: int = STEP
    next_at: float = 0.0
    message_id: int | None = None


@dataclass(slots=True)
class Previews:
    """The answers that are being made, one a chat."""

    screen: Screen
    clock: Clock
    _streams: dict[int, _Stream] = field(default_factory=dict)
    _has_drafts: bool = True
    _quiet_until: float = 0.0

    async def show(self, chat: int, number: int, text: str) -> None:
        """Show the text so far, if enough of it is new and enough time has passed."""
        stream = self._streams.get(chat)
        if stream is None or stream.number != number:
            await self.finish(chat)
            stream = self._streams[chat] = _Stream(number)
        now = self.clock.monotonic()
        if now < max(stream.next_at, self._quiet_until) or len(text) - stream.shown < stream.step:
            return
        parts = split(plain(text))
        if not parts:
            return
        stream.shown = len(text)
        stream.next_at = now + (DRAFT_PAUSE_S if self._has_drafts else EDIT_PAUSE_S)
        if self._has_drafts:
            await self._draft(chat, stream, parts[-1].text)
        else:
            await self._edit(chat, stream, parts[-1].text)

    async def finish(self, chat: int) -> None:
        """Take away what is left of the preview; a draft goes by itself."""
        stream = self._streams.pop(chat, None)
        if stream is not None and stream.message_id is not None:
            try:
                await self.screen.perform(chat, Delete(stream.message_id))
            except Failed as failure:
                log.info("a preview was left behind", reason=str(failure))

    async def _draft(self, chat: int, stream: _Stream, text: str) -> None:
        try:
            await self.screen.draft(chat, stream.number, text)
        except Failed as failure:
            match failure.outcome:
                case Bad() | Down():  # 400 or 404: an older server
                    self._has_drafts = False
                    await self._edit(chat, stream, text)
                case outcome:
                    self._rest(outcome)

    async def _edit(self, chat: int, stream: _Stream, text: str) -> None:
        stream.step *= 2
        try:
            if stream.message_id is None:
                stream.message_id = await self.screen.say(chat, text)
            else:
                edit = EditText(message_id=stream.message_id, content=Styled(text))
                await self.screen.perform(chat, edit)
        except Failed as failure:
            self._rest(failure.outcome)

    def _rest(self, outcome: Outcome) -> None:
        """Show nothing at all while Telegram says that we are too fast."""
        match outcome:
            case TryLater(after_s):
                self._quiet_until = self.clock.monotonic() + (after_s or FLOOD_PAUSE_S)
