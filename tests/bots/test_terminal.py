"""The terminal adapter: what a person reads there, what a script does, what a screen looks like."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bots.app import serve_bots
from bots.channel import Sent, Shown
from bots.markup import QUOTED
from bots.terminal import Look, Service, Show, TerminalChannel
from bots.terminal_view import Face, drawn, wrapped
from bots.terminal_visit import Reception, from_query, terminal_only, to_query
from core.app import open_core
from core.config import load
from core.values.clock import SystemClock
from core.values.errors import DatabaseUnavailable
from core.values.mail import Bill, Button, Content, Copy, Letter, Link, Note, Peer, Press, Result
from core.values.texts import Catalogue
from tests.bots.nostr_world import Desk

GOLDEN = Path(__file__).parent / "golden"
PATIENCE_S = 30.0
INVOICE = (
    "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5"
    "rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w"
    "27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh"
)
PLAIN = Face(80, has_ansi=False)
COLOURED = Face(80, has_ansi=True)

# What differs from one talk to the next.
VARIES = {
    r"(?:[█▀▄ ]{61}\n){31}": "CODE\n",
    r"lnbcrt[0-9a-z]+": "INVOICE",
    r"#[0-9A-HJKMNP-TV-Z]{4}\b": "#CODE",
    r"(?:\d{4}-\d\d-\d\d|\d\d\.\d\d\.\d{4}), \d\d:\d\d": "TIME",
}


class Paper:
    """A screen whose lines are written down before, or come from a test; and what was shown."""

    def __init__(self, *lines: str) -> None:
        self.text = ""
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        for line in lines:
            self._lines.put_nowait(line)
        self._changed = asyncio.Event()

    def type(self, line: str | None) -> None:
        self._lines.put_nowait(line)

    async def lines(self) -> AsyncIterator[str]:
        while (line := await self._lines.get()) is not None:
            yield line

    async def show(self, text: str) -> None:
        self.text += text
        self._changed.set()

    async def shows(self, pattern: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not re.search(pattern, self.text):
                self._changed.clear()
                await self._changed.wait()

    @property
    def without_chance(self) -> str:
        text = self.text
        for pattern, word in VARIES.items():
            text = re.sub(pattern, word, text)
        return text


def script(*lines: str) -> Paper:
    paper = Paper(*lines)
    paper.type(None)
    return paper


class GoneScreen(Paper):
    async def show(self, _: str) -> None:
        raise BrokenPipeError


@asynccontextmanager
async def service(folder: Path, **settings: str) -> AsyncIterator[Reception]:
    config = load(None, {"BOLTWORK_SERVER__DATA_DIR": str(folder), **settings})
    async with open_core(config) as core, serve_bots(core, terminal_only(config)) as office:
        yield Reception(core, office)


def look(lang: str = "en", *, who: str = "anna") -> Look:
    return Look(who, PLAIN, is_typed=False, lang=lang)


def typed(*, face: Face = PLAIN, who: str = "anna") -> Look:
    return Look(who, face, is_typed=True, lang="en")


# The talk


@pytest.mark.parametrize("lang", ["en", "de"])
async def test_a_job_reads_like_this(tmp_path, lang):
    paper = script("Sort these names: Zoe, Adam, Mia.", "pay", "pay")

    async with service(tmp_path) as reception:
        is_served = await reception.receive(paper, look(lang))

    assert is_served
    assert paper.without_chance == (GOLDEN / f"terminal-{lang}.txt").read_text()


async def test_a_button_is_pressed_by_its_number(tmp_path):
    paper = script("Sort these names: Zoe, Adam.", "2", "pay")

    async with service(tmp_path) as reception:
        await reception.receive(paper, look())

    assert "[2] Pay once · 500 sat   [3] Cancel" in paper.text
    assert "paid once: 500 sat" in paper.text
    assert "done · 32 sat · 468 sat left" in paper.text


async def test_a_number_that_presses_nothing_is_a_text(tmp_path):
    paper = script("99")

    async with service(tmp_path) as reception:
        await reception.receive(paper, look())

    assert paper.text.count("Hi, I am Boltwork") == 2  # it was too short for a request


async def test_where_no_invoice_is_open_pay_says_so(tmp_path):
    paper = script("pay")

    async with service(tmp_path) as reception:
        await reception.receive(paper, look())

    assert "No invoice is open here." in paper.text


async def test_who_comes_back_is_shown_what_is_open(tmp_path):
    async with service(tmp_path) as reception:
        await reception.receive(script("Sort these names: Zoe, Adam."), look())
    paper = script("pay")

    async with service(tmp_path) as reception:
        await reception.receive(paper, look())

    assert "Welcome back" in paper.text
    assert paper.text.index("Check of your request") < paper.text.index("Paid 21 sat")
    assert "Price: " in paper.text


async def test_two_people_talk_at_once_and_read_their_own_answers_only(tmp_path):
    anna, bob = Paper(), Paper()

    async with service(tmp_path) as reception, asyncio.TaskGroup() as visits:
        visits.create_task(reception.receive(anna, typed(who="anna")))
        visits.create_task(reception.receive(bob, typed(who="bob")))
        anna.type("Sort these names: Zoe, Adam.")
        bob.type("/balance")
        await anna.shows("Check of your request")
        await bob.shows("Balance: 0 sat")
        anna.type(None)
        bob.type(None)

    assert "Balance" not in anna.text
    assert "Check of" not in bob.text


async def test_a_second_terminal_of_the_same_person_is_refused_in_words(tmp_path):
    first, second = Paper(), script("/balance")

    async with service(tmp_path) as reception, asyncio.TaskGroup() as visits:
        visits.create_task(reception.receive(first, typed()))
        await first.shows("Hi, I am")
        is_served = await reception.receive(second, typed())
        first.type(None)

    assert not is_served
    assert second.text == "anna talks to me in another terminal. Close that one first.\n"


@dataclass
class ShutOffice:
    """An office whose database is away."""

    catalogue: Catalogue

    async def receive(self, _: TerminalChannel) -> None:
        raise DatabaseUnavailable("The database is away.")


async def test_while_the_database_is_away_the_talk_ends_with_a_sentence(tmp_path):
    paper = Paper()

    async with service(tmp_path) as reception:
        shut = Reception(reception.core, ShutOffice(reception.office.catalogue))
        is_served = await shut.receive(paper, typed())

    assert not is_served
    assert paper.text.endswith("What you typed last may not have arrived.\n")


# One letter


def draw(content: Content, face: Face = PLAIN) -> str:
    pressed: list[Button] = []

    def number(button: Button) -> int:
        pressed.append(button)
        return len(pressed)

    return drawn(content, face, number)


def test_an_invoice_stands_whole_on_a_line_of_its_own_below_its_code():
    lines = draw(Bill("Pay this:\n{invoice}\nSoon.", INVOICE, None)).split("\n")

    assert lines[:2] == ["Pay this:", ""]
    assert INVOICE in lines
    assert lines[-1] == "Soon."
    assert sum("█" in line for line in lines) > 30


def test_on_a_narrow_screen_there_is_no_code_that_could_not_be_scanned():
    text = draw(Bill("Pay:\n{invoice}", INVOICE, None), Face(40, has_ansi=False))

    assert "█" not in text
    assert INVOICE in text


def test_pages_and_texts_to_copy_have_lines_of_their_own():
    rows = ((Link("Open wallet", "https://a.example/pay/1"),), (Copy("Copy", "a@b.example"),))

    text = draw(Note("Hello.", buttons=(*rows, (Button("Yes", "yes", "1"),))))

    assert text.split("\n")[1:] == [
        "Open wallet: https://a.example/pay/1",
        "Copy: a@b.example",
        "[1] Yes",
    ]


def test_nobody_elses_text_reaches_the_terminal_as_a_command():
    text = draw(Result("\x1b[2J\x1b]0;title\x07Hello\x9b1A", name="answer", foot="done"), COLOURED)

    assert text.startswith("[2J]0;titleHello1A")


def test_a_line_of_a_model_that_looks_like_ours_gets_a_mark():
    assert f"{QUOTED}Paid 400 sat ✓" in draw(Result("Paid 400 sat ✓", name="answer"))


def test_text_is_wrapped_and_code_is_not():
    code = "```\n" + "x = 1; " * 10 + "\n```"

    lines = wrapped(f"{'word ' * 10}\n{code}\n{'word ' * 10}", 30).split("\n")

    assert code in "\n".join(lines)
    assert max(len(line) for line in lines if "word" in line) <= 30


def test_without_colours_nothing_is_said_to_the_terminal_itself():
    contents = [
        Note("Hello.", buttons=((Button("Yes", "yes", "1"),),)),
        Bill("Pay:\n{invoice}", INVOICE, None),
        Result("Hello.", name="answer", head="Result", foot="done"),
    ]

    assert not any("\x1b" in draw(content) for content in contents)
    assert all("\x1b" in draw(content, COLOURED) for content in contents)


def test_a_screen_introduces_itself_and_is_understood():
    screens = [typed(face=COLOURED), look("de"), Look("Ünal & Co", Face(120, has_ansi=False), True)]

    assert [from_query(to_query(screen)) for screen in screens] == screens


@pytest.mark.parametrize("query", [{}, {"width": "-1"}, {"width": "²"}, {"who": "\0" * 500}])
def test_whatever_a_screen_says_it_gets_some_look(query):
    found = from_query(query)

    assert found.who
    assert 20 <= found.face.width <= 500


# The screen


class VideoTerminal:
    """What is seen after the few commands that we use; any other one is a failure."""

    def __init__(self) -> None:
        self.rows = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.|\n", text, re.DOTALL):
            self._obey(part)

    def _obey(self, part: str) -> None:
        match part:
            case "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            case "\r":
                self.column = 0
            case "\x1b[J":
                del self.rows[self.row + 1 :]
                self.rows[self.row] = self.rows[self.row][: self.column]
            case _ if re.fullmatch(r"\x1b\[\d+A", part):
                self.row = max(0, self.row - int(part[2:-1]))
            case _ if re.fullmatch(r"\x1b\[[\d;]*m", part):
                pass
            case _:
                assert len(part) == 1, f"nobody knows {part!r}"
                row = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = row[: self.column] + part + row[self.column + 1 :]
                self.column += 1


class Ticks(SystemClock):
    """A clock on which a second passes between two looks."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 1.0
        return self._now


def channel_on(screen: Paper, *, face: Face = COLOURED, can_pay: bool = True) -> TerminalChannel:
    async def say(key: str) -> str:
        return key

    async def pay(payment_hash: str) -> None:
        screen.text += f"paid {payment_hash}"

    async def nothing_open() -> Sequence[str]:
        return ()

    async def rest(_: Sequence[str]) -> None:
        return

    told = Service(
        say=say,
        pay=pay if can_pay else None,
        rest=rest,
        open_codes=nothing_open,
        clock=Ticks(),
    )
    return TerminalChannel(screen, typed(face=face), told)


ANNA = Peer("terminal", "anna", "anna")


async def test_an_answer_grows_in_its_place_and_gives_way_to_the_whole():
    paper, seen = Paper(), VideoTerminal()
    channel = channel_on(paper)

    await channel.preview(ANNA, 1, "One line.")
    await channel.preview(ANNA, 1, "One line.\n" + "many words " * 30)
    await channel.perform(ANNA, Show(Result("One line.\nThe end.", name="answer"), None))
    seen.feed(paper.text)

    assert seen.rows == ["One line.", "The end.", "", "> "]


async def test_what_is_typed_meanwhile_is_not_painted_over():
    paper, seen, desk = Paper("Hello"), VideoTerminal(), Desk()
    channel = channel_on(paper)
    running = asyncio.create_task(channel.run(desk))
    await desk.receive("/start", "Hello")

    await channel.preview(ANNA, 1, "So far.")
    seen.feed(paper.text)
    seen.feed("Next\n")  # the terminal's own echo
    paper.text = ""
    paper.type("Next")
    await desk.receive("/start", "Hello", "Next")
    await channel.perform(ANNA, Show(Note("Done."), None))
    seen.feed(paper.text)
    paper.type(None)
    await running

    assert seen.rows[-5:] == ["So far.", "> Next", "Done.", "", "> "]


async def test_the_end_of_a_long_answer_fits_on_the_screen():
    paper, seen = Paper(), VideoTerminal()

    await channel_on(paper, face=Face(40, has_ansi=True)).preview(ANNA, 1, "多" * 500 + "x" * 500)
    seen.feed(paper.text)

    assert 1 < len(seen.rows) < 12
    assert all(len(row) <= 40 for row in seen.rows)


async def test_a_letter_is_kept_where_the_screen_is_gone():
    outcome = await channel_on(GoneScreen()).perform(ANNA, Show(Note("Hello."), None))

    assert not isinstance(outcome, Sent)


def test_what_passes_is_printed_only_in_its_place_and_short():
    channel, shown = channel_on(Paper()), Shown(("1",), "text", "")
    letter = Letter(peer=ANNA, content=Note("Working"), slot="7F3K:price", is_passing=True)
    long = Letter(peer=ANNA, content=Note("a\nb\nc"), slot="7F3K:price", is_passing=True)

    assert channel.plan(letter, None) == []
    assert channel.plan(letter, shown) == [Show(letter.content, letter.slot)]
    assert channel.plan(long, shown) == []


async def test_pay_pays_what_was_shown_last_and_not_what_its_card_no_longer_shows():
    paper, desk = Paper("pay", "pay"), Desk()
    channel = channel_on(paper)
    other = Bill("Pay:\n{invoice}", INVOICE, None)
    await channel.perform(ANNA, Show(other, "7F3K:check"))
    await channel.perform(ANNA, Show(other, "topup"))
    await channel.perform(ANNA, Show(Note("Paid."), "7F3K:check"))
    paper.text = ""
    paper.type(None)

    await channel.run(desk)

    assert paper.text.count("paid 0001020304") == 1
    assert "terminal.no_invoice" in paper.text


async def test_real_money_is_paid_by_the_persons_own_wallet():
    paper = Paper("pay")
    channel = channel_on(paper, can_pay=False)
    await channel.perform(ANNA, Show(Bill("Pay:\n{invoice}", INVOICE, None), "topup"))
    paper.type(None)

    await channel.run(Desk())

    assert "terminal.real_money" in paper.text


async def test_a_button_goes_with_its_card():
    paper, desk = Paper("1", "2"), Desk()
    channel = channel_on(paper)
    rows = ((Button("Yes", "yes", "7F3K", 3),),)
    await channel.perform(ANNA, Show(Note("Shall I?", buttons=rows), "ask"))
    await channel.perform(ANNA, Show(Note("Shall I now?", buttons=rows), "ask"))
    paper.type(None)

    await channel.run(desk)

    assert desk.texts == ["/start", "1"]
    assert Press("yes", "7F3K", 3) in [mail.body for mail in desk.mail.values()]
    assert "sys.stale" in paper.text  # that desk knows no button that is current
