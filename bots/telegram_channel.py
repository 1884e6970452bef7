"""The Telegram adapter: takes updates in, sends letters, shows what is being made.

python-telegram-bot's own poller acknowledges updates before anybody looked at them, so that a crash
loses them (measured, 22.8). Here the next poll acknowledges an update, after the office stored it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from bots.channel import (
    Bad,
    Caps,
    ChannelDown,
    Down,
    FileTooBig,
    Gone,
    Office,
    Outcome,
    Sent,
    Shown,
    TryAgain,
    TryLater,
)
from bots.styled import Styled
from bots.telegram import BotApi, Profile, Webhook
from bots.telegram_faults import Failed, is_about_formatting, is_about_links, is_about_size
from bots.telegram_in import NAME, Forged, Json, Me, Meaning, Pressed, read_update
from bots.telegram_out import (
    Delete,
    EditCaption,
    EditPhoto,
    EditText,
    SendFile,
    SendPhoto,
    SendText,
    Step,
    plan_letter,
)
from bots.telegram_presses import Seals
from bots.telegram_preview import Previews
from core.desk.running import Running
from core.values.clock import Clock
from core.values.errors import DatabaseUnavailable, Unavailable
from core.values.mail import File, Letter, Link, Peer

JUDGE_S: Final = 1.0  # of the two seconds in which a press has to be answered
DECLINES: Final = frozenset({"no", "cancel", "drop"})  # their card changes in silence
PAUSE_MAX_S: Final = 30.0
LEARN_AGAIN_S: Final = 60.0

log = structlog.get_logger(__name__)

Toast = Callable[[str, str | None], str]  # a text of ours by its key, in a language


class TelegramChannel:
    """One bot. `open` comes first."""

    name = NAME
    # Below what Telegram allows (1/s in bursts of 3, 30/s in all): previews and the second try
    # without formatting come on top, and the network may push two messages together.
    caps = Caps(
        has_buttons=True, can_edit=True, can_preview=True, per_peer_per_s=0.95, burst=2, per_s=25.0
    )

    def __init__(
        self,
        api: BotApi,
        *,
        seals: Seals,
        toast: Toast,
        clock: Clock,
        profiles: Mapping[str, Profile],  # by language; "" for all others
        webhook: Webhook | None = None,
    ) -> None:
        self._api, self._seals, self._toast, self._clock = api, seals, toast, clock
        self._profiles, self._webhook = profiles, webhook
        self._previews = Previews(api, clock)
        self._running = Running()
        self._hellos = asyncio.Lock()
        self._me = Me("", "")
        self.realm = ""  # the bot's own id

    @property
    def address(self) -> str:
        """Where people find the bot, once its name is known."""
        return f"https://t.me/{self._me.username}" if self._me.username else ""

    async def open(self) -> None:
        """Learn who we are, say how updates come, publish commands and descriptions."""
        try:
            async with self._hellos:
                await self._say_hello()
            if self._webhook is None:
                await self._api.use_polling()
            else:
                await self._api.use_webhook(self._webhook)
        except Failed as failure:
            _raise_if_down(failure)
            raise TryAgain(str(failure)) from None
        for language, profile in self._profiles.items():
            await self._publish(profile, language)

    async def learn(self) -> None:
        """Learn who we are, if we do not know; another process may be serving. Raises Failed."""
        async with self._hellos:
            if not self.realm:
                await self._say_hello()

    def start_learning(self) -> None:
        """Learn who we are, however long that takes: the name is shown to people elsewhere."""
        self._running.start(self._keep_learning())

    async def _say_hello(self) -> None:
        self._me = await self._api.hello()
        self.realm = self._me.bot_id

    async def _keep_learning(self) -> None:
        while True:
            try:
                await self.learn()
            except Failed as failure:
                log.info("telegram does not say who we are", reason=str(failure))
                await self._clock.sleep(LEARN_AGAIN_S)
            else:
                return

    async def _publish(self, profile: Profile, language: str) -> None:
        """Menus are a convenience: what Telegram refuses now is published at the next start."""
        try:
            await self._api.publish(profile, language)
        except Failed as failure:
            log.warning("telegram took no menu", language=language, reason=str(failure))

    async def run(self, office: Office) -> None:
        """Poll. With a webhook there is nothing to do: the HTTP door calls `take_update`."""
        if self._webhook is not None:
            await asyncio.Event().wait()
        offset: int | None = None
        failures = 0
        while True:
            try:
                offset = await self._poll(offset, office)
                failures = 0
            except (Failed, DatabaseUnavailable) as failure:
                pause_s = _pause_s(failure, failures)
                failures += 1
                log.warning("telegram is polled later", reason=str(failure), pause_s=pause_s)
                await self._clock.sleep(pause_s)

    async def take_update(self, update: Json, office: Office) -> None:
        """Take in what a webhook brought; committed when this returns.

        Raises Unavailable: then Telegram has to bring it again.
        """
        try:
            await self.learn()
        except Failed as failure:
            raise Unavailable(str(failure)) from None
        await self._take([update], office)

    async def _poll(self, offset: int | None, office: Office) -> int | None:
        """Take in what is there; return the offset that acknowledges it in the next poll."""
        updates = await self._api.updates(offset)
        if not updates:
            return offset
        await self._take(updates, office)
        return max(int(update["update_id"]) for update in updates) + 1

    async def _take(self, updates: Sequence[Json], office: Office) -> None:
        read = [read_update(update, me=self._me, seals=self._seals) for update in updates]
        meanings = [meaning for meaning in read if meaning is not None]
        # Before the mail is taken, since that makes presses old.
        toasts = await asyncio.gather(*(self._judge(meaning, office) for meaning in meanings))
        for meaning, text in zip(meanings, toasts, strict=True):
            if isinstance(meaning, Pressed | Forged):
                self._running.start(self._answer(meaning.query_id, text))
        mail = [meaning.inbound for meaning in meanings if not isinstance(meaning, Forged)]
        if mail:
            await office.take(mail)

    async def _judge(self, meaning: Meaning, office: Office) -> str | None:
        """What a press is answered. A stale one is handed on too, so that its card is redrawn."""
        match meaning:
            case Forged(_, lang):
                return self._toast("sys.not_yours", lang)
            case Pressed(inbound, press):
                try:
                    async with asyncio.timeout(JUDGE_S):
                        is_current = await office.is_current(inbound.peer, press)
                except (TimeoutError, DatabaseUnavailable):
                    return None
                if is_current:
                    return self._toast("card.ok", inbound.lang) if press.verb in DECLINES else None
                return self._toast("sys.stale", inbound.lang)
            case _:
                return None

    async def _answer(self, query_id: str, text: str | None) -> None:
        try:
            await self._api.answer(query_id, text)
        except Failed as failure:
            log.info("a press was not answered", reason=str(failure))

    def plan(self, letter: Letter, shown: Shown | None) -> Sequence[Step]:
        """The calls that a letter takes."""
        return plan_letter(letter, shown, seals=self._seals)

    async def perform(self, peer: Peer, step: Step) -> Outcome:
        """Make one call; where Telegram refuses its formatting or its links, once without them."""
        chat = int(peer.uid)
        outcome = await self._try(chat, step)
        simpler = _simpler(step, outcome)
        if simpler != step:
            log.error("telegram refused a part of a message", reason=outcome)
            outcome = await self._try(chat, simpler)
            if isinstance(outcome, Sent) and _has_links(step) and not _has_links(simpler):
                outcome = replace(outcome, lacks_links=True)
        if isinstance(outcome, Sent) and isinstance(step, SendText | SendPhoto | SendFile):
            await self._previews.finish(chat)
        return outcome

    async def _try(self, chat: int, step: Step) -> Outcome:
        try:
            return await self._api.perform(chat, step)
        except Failed as failure:
            return failure.outcome

    async def preview(self, peer: Peer, stream: int, text: str) -> None:
        """Show the text so far of an answer."""
        await self._previews.show(int(peer.uid), stream, text)

    async def show_activity(self, peer: Peer) -> None:
        """Show "typing" for five seconds."""
        try:
            await self._api.show_typing(int(peer.uid))
        except Failed as failure:
            log.debug("telegram shows no activity", reason=str(failure))

    async def fetch(self, file: File, bytes_max: int) -> bytes:
        """The content of a file, its size looked at before and while it is read."""
        if file.size_bytes > bytes_max:
            raise FileTooBig
        try:
            return await self._api.read(file.key, bytes_max)
        except Failed as failure:
            if is_about_size(str(failure)):
                raise FileTooBig from None
            raise TryAgain(str(failure)) from None

    async def aclose(self) -> None:
        """End what is under way and close the connections."""
        await self._running.drain(0)
        await self._api.aclose()


def _raise_if_down(failure: Failed) -> None:
    match failure.outcome:
        case Down(reason, is_rival=is_rival):
            raise ChannelDown(reason, is_rival=is_rival) from None
        case Bad(reason) | Gone(reason):
            raise ChannelDown(reason) from None


def _pause_s(failure: Failed | DatabaseUnavailable, failures: int) -> float:
    """How long the poller rests after so many failures in a row. Raises ChannelDown."""
    if isinstance(failure, Failed):
        _raise_if_down(failure)
        if isinstance(failure.outcome, TryLater) and failure.outcome.after_s is not None:
            return failure.outcome.after_s
    return min(2.0 ** min(failures, 10), PAUSE_MAX_S)


def _has_links(step: Step) -> bool:
    if isinstance(step, Delete):
        return False
    return any(isinstance(key, Link) for row in step.keys for key in row)


def _simpler(step: Step, outcome: Outcome) -> Step:
    """The step without what Telegram refused of it; the same where it refused something else."""
    match outcome, step:
        case Bad(reason), SendText() | EditText() if is_about_formatting(reason):
            return replace(step, content=Styled(step.content.text))
        case Bad(reason), SendPhoto() | SendFile() | EditPhoto() | EditCaption() if (
            is_about_formatting(reason)
        ):
            return replace(step, caption=Styled(step.caption.text))
        case Bad(reason), _ if is_about_links(reason) and not isinstance(step, Delete):
            keys = (tuple(key for key in row if not isinstance(key, Link)) for row in step.keys)
            return replace(step, keys=tuple(row for row in keys if row))
        case _:
            return step
