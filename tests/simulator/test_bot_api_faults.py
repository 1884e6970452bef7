"""The simulated Bot API fails when it is told to, and counts how fast its bot sends."""

import asyncio
import time
from collections.abc import Iterable

import pytest
from telegram import Bot
from telegram.error import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)

from tests.simulator.bot_api import Fault, SimulatedBotApi
from tests.simulator.bot_api_faults import Pacing
from tests.simulator.bot_api_people import TelegramPerson


@pytest.fixture
def anna(sim: SimulatedBotApi) -> TelegramPerson:
    person = sim.person("anna")
    person.write("hi")
    return person


def paced(sends: Iterable[tuple[int, float]]) -> list[str]:
    pacing = Pacing()
    for chat_id, at_s in sends:
        pacing.count("sendMessage", chat_id, at_s)
    return pacing.findings


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.of_code(400, "Bad Request: whatever"), BadRequest),
        (Fault.of_code(401), InvalidToken),
        (Fault.of_code(403), Forbidden),
        (Fault.of_code(409), Conflict),
        (Fault.of_code(500), NetworkError),
        (Fault.of_code(502), NetworkError),
        (Fault("reset"), NetworkError),
    ],
)
async def test_a_call_fails_before_it_has_an_effect(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson, fault: Fault, error: type[TelegramError]
) -> None:
    sim.fail("sendMessage", fault)

    with pytest.raises(error):
        await bot.send_message(anna.chat_id, "one")
    await bot.send_message(anna.chat_id, "two")

    assert [event.text for event in anna.sees()] == ["two"]


@pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")
async def test_a_flood_says_how_long_to_wait(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson
) -> None:
    sim.fail("sendMessage", Fault.of_code(429, retry_after=7))

    with pytest.raises(RetryAfter, match="Flood control exceeded"):
        await bot.send_message(anna.chat_id, "hi")

    assert sim.calls_of("sendMessage")[0].status == 429


async def test_a_message_can_arrive_although_its_answer_is_lost(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson
) -> None:
    sim.fail("sendMessage", Fault("drop"))

    with pytest.raises(NetworkError):
        await bot.send_message(anna.chat_id, "hi")

    assert [event.text for event in anna.sees()] == ["hi"]


@pytest.mark.parametrize("kind", ["hang", "late"])
async def test_an_answer_can_come_too_late(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson, kind: str
) -> None:
    sim.fail("sendMessage", Fault(kind, seconds=60))  # type: ignore[arg-type]

    with pytest.raises(TimedOut):
        await bot.send_message(anna.chat_id, "hi", read_timeout=0.1)

    assert len(anna.sees()) == (1 if kind == "late" else 0)


async def test_an_answer_can_trickle_in(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson
) -> None:
    sim.fail("sendMessage", Fault("slow", seconds=0.2))
    began_s = time.monotonic()

    message = await bot.send_message(anna.chat_id, "hi")

    assert message.text == "hi"
    assert time.monotonic() - began_s > 0.1


async def test_a_fault_is_for_a_method_a_chat_and_a_text(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson
) -> None:
    bob = sim.person("bob")
    bob.write("hi")
    sim.fail("sendMessage", Fault.of_code(403), chat_id=anna.chat_id, text="Result", times=None)

    await bot.send_message(bob.chat_id, "Result")
    await bot.send_message(anna.chat_id, "Card")
    with pytest.raises(Forbidden):
        await bot.send_message(anna.chat_id, "Result of #7F3K")
    sim.heal()
    await bot.send_message(anna.chat_id, "Result")

    assert [event.text for event in anna.sees()] == ["Card", "Result"]


async def test_a_fault_spoils_so_many_calls(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson
) -> None:
    sim.fail("*", Fault.of_code(500), times=2)

    for _ in range(2):
        with pytest.raises(NetworkError):
            await bot.send_chat_action(anna.chat_id, "typing")
    await bot.send_chat_action(anna.chat_id, "typing")

    assert [call.status for call in sim.calls_of("sendChatAction")] == [500, 500, 200]


async def test_the_whole_server_goes_down_and_comes_up(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson
) -> None:
    waiting = asyncio.create_task(bot.get_updates(offset=-1, timeout=5))
    await waiting
    await sim.go_down()
    with pytest.raises(NetworkError):
        await bot.send_message(anna.chat_id, "one")

    await sim.come_up()
    await bot.send_message(anna.chat_id, "two")

    assert [event.text for event in anna.sees()] == ["two"]


def test_three_at_once_and_then_one_a_second_are_in_order() -> None:
    assert paced((1, at_s) for at_s in (0, 0, 0, 1, 2, 3)) == []


def test_a_fourth_at_once_is_held_against_the_bot() -> None:
    assert paced((1, 0) for _ in range(4)) == ["sendMessage: chat 1 gets more than 1/s (burst 3)"]


def test_two_a_second_for_long_are_held_against_the_bot() -> None:
    assert paced((1, number / 2) for number in range(8)) != []


def test_more_than_30_a_second_in_all_are_held_against_the_bot() -> None:
    assert paced((chat, chat / 31) for chat in range(1, 31)) == []
    assert paced((chat, chat / 40) for chat in range(1, 41)) != []


def test_a_group_gets_20_a_minute() -> None:
    assert paced((-7, number * 3.1) for number in range(60)) == []
    assert paced((-7, number * 2.0) for number in range(60)) != []


async def test_the_bots_real_pace_is_counted(
    sim: SimulatedBotApi, bot: Bot, anna: TelegramPerson
) -> None:
    for number in range(5):
        await bot.send_message(anna.chat_id, str(number))

    assert len(sim.findings) == 2
