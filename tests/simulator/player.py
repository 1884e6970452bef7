"""The player: takes the steps of a story one by one, and says which line was the first wrong one.

New messages must come exactly as the story has them: none is left out, none is too many. Of the
edits of a card only those are told that matter, and previews may be lost.

With `kill_after` the program is killed after these lines and started again. After each time one
message may be said twice, as nobody can tell a lost answer from a lost call; nothing else differs.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from tests.process.server import eventually
from tests.simulator.matching import misfit
from tests.simulator.seat import NoSuchButton, NotPayable, Seat, Seen, TelegramSeat
from tests.simulator.stage import Stage
from tests.simulator.story_steps import (
    Act,
    Check,
    Expect,
    Foreign,
    ModelDoes,
    Pay,
    Press,
    Process,
    Say,
    Send,
    Silence,
    Step,
    Story,
    Trouble,
    Wait,
)
from tests.simulator.troubles import make_trouble, tell_model

BOOKS_WITHIN_S = 10.0
RESUMED = "I was away for a moment"
_CODE = re.compile(r"#([0-9A-HJKMNP-TV-Z]{4})\b")


class WrongLine(AssertionError):
    """The story did not go as it is written; the text is the chat with the first wrong line."""


class Wrong(Exception):
    """What is wrong with a step."""


@dataclass(slots=True)
class Player:
    """One performance of a story."""

    story: Story
    stage: Stage
    kill_after: Collection[int] = ()
    books_within_s: float = BOOKS_WITHIN_S
    seats: dict[str, Seat] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    told: list[tuple[str, str]] = field(default_factory=list)  # who did or heard what, as written
    _cards: dict[str, Seen] = field(default_factory=dict)
    _taken: set[tuple[str, int]] = field(default_factory=set)
    _maybe: list[Expect] = field(default_factory=list)
    _said: dict[tuple[str, int], str] = field(default_factory=dict)
    _acts: Counter[str] = field(default_factory=Counter)  # of people, since they were counted
    _who: str = ""
    _repeats_left: int = 0
    _was_killed: bool = False

    async def play(self, channel: str = "telegram") -> None:
        """The whole story, by whoever has a seat, else on Telegram. Raises WrongLine."""
        for person in self.story.persons:
            if person.name in self.seats:
                continue
            assert channel == "telegram", f"nobody sits at {channel} yet"
            seated = self.stage.telegram.person(person.name, lang=person.lang)
            self.seats[person.name] = TelegramSeat(self.stage.telegram, seated)
        self._who = next(iter(self.seats), "")
        self.stage.model.is_steady = bool(self.kill_after)
        for step in self.story.steps:
            if step.only not in (None, channel):
                continue
            await self._take(step)
            if step.number in self.kill_after and self.stage.is_running:
                self._was_killed = True
                self._repeats_left += 1
                await self.stage.kill()
                await self.stage.start()
        await self._take(Step(0, "(the end: nothing is left unsaid)", Silence(0)))
        await self._take(Step(0, "(the end: invariants)", Check("invariants")))

    async def _take(self, step: Step) -> None:
        try:
            await self._do(step)
        except (Wrong, NotPayable, NoSuchButton, KeyError) as fault:
            reason = f"there is no {fault}" if isinstance(fault, KeyError) else str(fault)
            raise WrongLine(self._transcript(step, reason)) from None

    async def _do(self, step: Step) -> None:  # noqa: C901, PLR0912  # one line for each kind of step
        match step.action:
            case Expect() as expect:
                await self._expect(expect)
            case Silence() as silence:
                await self._hear_nothing(silence)
            case Say() as say:
                self._acts["messages"] += 1
                self.told.append((f"{say.who}>", self._filled(say.text)))
                self._turn_to(say.who).say(self._filled(say.text), self._card_or_none(say.reply_to))
            case Act() as act:
                self._turn_to(act.who).act(act)
            case Press() as press:
                self._acts["presses"] += 1
                card = self._cards[press.card] if press.is_again else self._now(press.card)
                self.told.append((f"{press.who}>", f"[{self._filled(press.label)}]"))
                self._turn_to(press.who).press(self._filled(press.label), card)
            case Send() as send:
                self._turn_to(send.who).send(send)
            case Pay() as pay:
                await self._pay(pay)
            case Wait() as wait:
                await self._wait(wait.seconds)
            case Process() as process:
                await getattr(self.stage, process.verb)()
                self._repeats_left += process.verb == "kill"
            case Trouble() as trouble:
                await make_trouble(self.stage, trouble, self.names)
            case ModelDoes() as does:
                tell_model(self.stage.model, does)
            case Foreign() as foreign:
                self.names[foreign.name] = self.stage.lnbits.books.foreign_invoice(foreign.sats)
            case Check() as check:
                await self._check(check)
            case _:
                assert_never(step.action)

    def _turn_to(self, who: str) -> Seat:
        self._who = who
        return self.seats[who]

    def _filled(self, text: str) -> str:
        return re.sub(r"\{([\w.]+)\}", lambda match: self.names.get(match[1], match[0]), text)

    # What the bot says

    async def _expect(self, expect: Expect) -> None:
        if expect.is_optional:
            self._maybe.append(expect)
            return
        seen = await self._awaited(expect, self.seats[expect.to or self._who])
        self._note(expect, seen)
        self.told.append((f"to {expect.to or self._who}:", seen.text))
        if expect.what == "sent":
            self._maybe.clear()

    async def _awaited(self, expect: Expect, seat: Seat) -> Seen:
        """What fits the line. Raises Wrong."""
        last = "nothing came"
        while True:
            sights = seat.sees()
            self._pass_over_repeats(sights)
            for seen in sights:
                if not self._is_about(expect, seen):
                    continue
                why = misfit(expect, seen, self._filled, self._words_of(seen))
                if why is None:
                    return seen
                last = f"{why}, in: {seen.text[:300]!r}"
                if seen.what == "sent" and not self._is_extra(seen):
                    raise Wrong(last)
            if not await seat.news(len(sights), expect.within_s):
                raise Wrong(f"within {expect.within_s:g} s: {last}")

    def _is_about(self, expect: Expect, seen: Seen) -> bool:
        """Whether the line can be about this: the same kind of thing, and not told yet."""
        if seen.what != expect.what or seen.key in self._taken:
            return False
        if expect.card is not None:
            return seen.is_of(self._cards[expect.card])
        return seen.what != "toast" or bool(seen.text)

    def _is_extra(self, seen: Seen) -> bool:
        """Whether this message may stand between those of the story; it is taken then."""
        for expect in self._maybe:
            if misfit(expect, seen, self._filled, self._words_of(seen)) is None:
                self._note(expect, seen)
                return True
        if self._was_killed and RESUMED in seen.text:
            self._taken.add(seen.key)
            return True
        return False

    def _pass_over_repeats(self, sights: Sequence[Seen]) -> None:
        """After a kill a message may come once more; a card is then the one that came last."""
        for seen in sights:
            is_new = seen.what == "sent" and seen.key not in self._taken
            if not is_new or self._repeats_left == 0 or seen.text not in self._said.values():
                continue
            self._repeats_left -= 1
            self._taken.add(seen.key)
            for name, card in self._cards.items():
                if card.text == seen.text:
                    self._cards[name] = seen

    def _words_of(self, seen: Seen) -> dict[str, str]:
        """In a new message `{code}` is its own, and elsewhere that of the latest one."""
        found = _CODE.search(seen.text) if seen.what == "sent" else None
        return {"code": found[1]} if found else {}

    def _note(self, expect: Expect, seen: Seen) -> None:
        self._taken.add(seen.key)
        self._said[seen.key] = seen.text
        for said in expect.texts:
            if said.kind == "pattern" and (match := re.search(self._filled(said.text), seen.text)):
                self.names |= match.groupdict()
        found = _CODE.search(seen.text)
        if expect.name is not None:
            self._cards[expect.name] = seen
            if expect.invoice_sats is not None:
                self.names[f"{expect.name}.invoice"] = seen.invoice()
        if found and seen.what == "sent":
            self.names["code"] = found[1]
            if expect.name is not None:
                self.names[f"{expect.name}.code"] = found[1]

    async def _hear_nothing(self, silence: Silence) -> None:
        who = silence.to or self._who
        for name in [who] if silence.seconds else self.seats:
            while True:
                sights = self.seats[name].sees()
                self._pass_over_repeats(sights)
                for seen in sights:
                    is_new = seen.what == "sent" and seen.key not in self._taken
                    if is_new and not self._is_extra(seen):
                        raise Wrong(f"something came: {seen.text[:300]!r}")
                if not silence.seconds:
                    break
                if not await self.seats[name].news(len(sights), silence.seconds):
                    break

    async def _wait(self, seconds: float) -> None:
        """Let time pass once nothing is on its way: an answer that is late by a day is none."""
        if self.stage.is_running:
            await self.stage.letters_are_noted()
        await self.stage.pass_time(seconds)

    # Cards

    def _now(self, name: str) -> Seen:
        """A card as it looks now."""
        card = self._cards[name]
        for seat in self.seats.values():
            shown = [seen for seen in seat.sees() if seen.is_of(card) and seen.what != "other"]
            if shown:
                return shown[-1]
        raise KeyError(name)

    def _card_or_none(self, name: str | None) -> Seen | None:
        return None if name is None else self._cards[name]

    async def _pay(self, pay: Pay) -> None:
        self._acts["payments"] += 1
        self._turn_to(pay.who)
        self.told.append((f"{pay.who}>", "(pays the invoice)"))
        invoice = (self._cards[pay.card] if pay.is_again else self._now(pay.card)).invoice()
        await (self.stage.pay_late(invoice) if pay.how == "late" else self.stage.pay(invoice))

    # The end

    async def _check(self, check: Check) -> None:
        if check.what == "invariants":
            await self.stage.stop()
            broken = await self.stage.broken_rules()
            if not self._was_killed:  # nobody remembers a pace over a crash
                broken += self.stage.telegram.pacing.findings
            if broken:
                raise Wrong("\n    ".join(broken))
            return
        if check.what == "acts":
            acts, self._acts = self._acts, Counter()
            if acts != Counter(check.numbers):
                raise Wrong(" ".join(f"{name}={acts[name]}" for name in check.numbers))
            return
        look = self._ledger if check.what == "ledger" else self._calls

        async def holds() -> bool:
            found = await look()
            if self._was_killed and check.what == "calls":  # one whose answer was lost comes again
                return all(found.get(name, 0) >= n for name, n in check.numbers.items())
            return all(found.get(name, 0) == n for name, n in check.numbers.items())

        try:
            await eventually(holds, within_s=self.books_within_s)
        except TimeoutError:
            found = await look()
            raise Wrong(
                " ".join(f"{name}={found.get(name, 0)}" for name in check.numbers)
            ) from None

    async def _ledger(self) -> dict[str, int]:
        return await self.stage.ledger()

    async def _calls(self) -> dict[str, int]:
        return self.stage.calls()

    # The transcript

    def _transcript(self, wrong: Step, reason: str) -> str:
        lines = [f"{self.story.name}: {self.story.title}", ""]
        sights = sorted(
            (
                (seen.at_s, seen.number, name, seen)
                for name, seat in self.seats.items()
                for seen in seat.sees()
            ),
            key=lambda sight: sight[:3],
        )
        lines += [line_of(name, seen) for *_, name, seen in sights if seen.what != "other"]
        place = f"line {wrong.number}: " if wrong.number else ""
        lines += ["", f">>> {place}{wrong.line}", f"    {reason}"]
        if log := self.stage.program.log().splitlines()[-8:]:
            lines += ["", "the program's last words:", *(f"    {line[:400]}" for line in log)]
        return "\n".join(lines)


def line_of(who: str, seen: Seen) -> str:
    """A sight as a line of a chat."""
    mark = {"said": f"{who}>", "sent": "bot>", "edited": "bot~", "toast": "bot!"}.get(
        seen.what, "bot..."
    )
    form = "" if seen.form == "text" else f"[{seen.form}] "
    buttons = "".join(f" [{button['text']}]" for button in seen.buttons)
    text = seen.text.replace("\n", "\n          ")
    return f"{seen.number:4} {mark} {form}{text}{buttons}"
