"""An answer that is being made is shown as a draft, or by edits on an older server."""

from collections.abc import AsyncIterator

import pytest

from bots.styled import Styled
from bots.telegram_channel import TelegramChannel
from bots.telegram_out import SendText
from core.values.mail import Peer
from tests.bots.telegram_bench import REALM, channel_on
from tests.hand_clock import HandClock
from tests.simulator.bot_api import Fault, SimulatedBotApi

OLD_SERVER = Fault.of_code(404, "Not Found")


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedBotApi]:
    async with SimulatedBotApi() as simulated:
        yield simulated


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def channel(sim: SimulatedBotApi, clock: HandClock) -> AsyncIterator[TelegramChannel]:
    adapter = channel_on(sim, clock=clock)
    await adapter.open()
    yield adapter
    await adapter.aclose()


@pytest.fixture
def anna(sim: SimulatedBotApi) -> Peer:
    person = sim.person("anna")
    person.write("/start")
    return Peer("telegram", REALM, str(person.chat_id))


def texts(sim: SimulatedBotApi, method: str) -> list[str]:
    return [str(call.params["text"]) for call in sim.calls_of(method)]


async def stream(
    channel: TelegramChannel, peer: Peer, clock: HandClock, *, lengths: range, pause_s: float
) -> None:
    for length in lengths:
        await channel.preview(peer, 1, "x" * length)
        clock.advance(pause_s)


async def test_a_draft_grows_by_forty_characters_at_least(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: Peer, clock: HandClock
) -> None:
    await stream(channel, anna, clock, lengths=range(10, 130, 10), pause_s=1)

    assert [len(text) for text in texts(sim, "sendMessageDraft")] == [40, 80, 120]


async def test_a_draft_is_not_shown_more_often_than_every_700_ms(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: Peer, clock: HandClock
) -> None:
    await stream(channel, anna, clock, lengths=range(100, 1000, 100), pause_s=0.3)

    assert [len(text) for text in texts(sim, "sendMessageDraft")] == [100, 400, 700]


async def test_a_long_draft_shows_its_last_part(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: Peer
) -> None:
    await channel.preview(anna, 1, "first\n" * 700 + "last")

    (text,) = texts(sim, "sendMessageDraft")
    assert len(text) < 4096
    assert text.endswith("last")


async def test_an_older_server_gets_edits_that_come_ever_more_rarely(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: Peer, clock: HandClock
) -> None:
    sim.fail("sendMessageDraft", OLD_SERVER, times=None)

    await stream(channel, anna, clock, lengths=range(40, 1000, 40), pause_s=2)

    assert [len(text) for text in texts(sim, "sendMessage")] == [40]
    assert [len(text) for text in texts(sim, "editMessageText")] == [120, 280, 600]
    assert len(sim.calls_of("sendMessageDraft")) == 1


async def test_what_was_shown_by_edits_goes_when_the_answer_is_there(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: Peer
) -> None:
    sim.fail("sendMessageDraft", OLD_SERVER, times=None)
    await channel.preview(anna, 1, "x" * 50)

    await channel.perform(anna, SendText(content=Styled("The answer")))

    assert [event.kind for event in sim.person("anna").sees()] == ["sent", "sent", "deleted"]


async def test_nothing_is_shown_while_telegram_says_that_we_are_too_fast(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: Peer, clock: HandClock
) -> None:
    sim.fail("sendMessageDraft", Fault.of_code(429, retry_after=10))

    await stream(channel, anna, clock, lengths=range(100, 1500, 100), pause_s=1)

    assert [call.status for call in sim.calls_of("sendMessageDraft")] == [429, *[200] * 4]


async def test_an_empty_text_is_not_shown(
    sim: SimulatedBotApi, channel: TelegramChannel, anna: Peer
) -> None:
    await channel.preview(anna, 1, "\n" * 100)

    assert sim.calls_of("sendMessageDraft") == []
