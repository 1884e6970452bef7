"""A program of a person in a story: the SDK of OpenAI, with a token of the person's balance.

`app> token {token}` hands it the token; whatever else is said is asked of the model.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal

import openai

from tests.simulator.seat import NoSuchButton, Seen
from tests.simulator.stage import Stage
from tests.simulator.story_steps import Act, Send

MODEL: Final = "simulated-model"
_TOKEN: Final = "token "  # the word before one


class OpenAiSeat:
    """A program that asks over HTTP."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._token = ""
        self._sights: list[Seen] = []
        self._to_ask: asyncio.Queue[str] = asyncio.Queue()
        self._changed = asyncio.Event()

    async def ask(self) -> None:
        """Ask what there is to ask, for ever."""
        while True:
            text = await self._to_ask.get()
            async with openai.AsyncOpenAI(
                base_url=f"{self._stage.program.url}/v1", api_key=self._token, max_retries=0
            ) as client:
                try:
                    answer = await client.chat.completions.create(
                        model=MODEL, messages=[{"role": "user", "content": text}]
                    )
                except openai.APIStatusError as fault:
                    self._see("sent", f"{fault.status_code} {fault.message}")
                else:
                    self._see("sent", answer.choices[0].message.content or "")

    def say(self, text: str, reply_to: Seen | None) -> None:
        """Take a token, or ask the model."""
        assert reply_to is None, "a program replies to nothing"
        if text.startswith(_TOKEN):
            self._token = text.removeprefix(_TOKEN)
            return
        self._see("said", text)
        self._to_ask.put_nowait(text)

    def press(self, label: str, card: Seen) -> None:
        """There is nothing to press. Raises NoSuchButton."""
        raise NoSuchButton(f'no "{label}" in what HTTP answers: {card.text!r}')

    def act(self, act: Act) -> None:
        """A program does nothing else."""
        raise AssertionError(f"nobody can {act.verb} with the SDK")

    def send(self, send: Send) -> None:
        """A program sends text only."""
        raise AssertionError(f"nobody can send a {send.kind} with the SDK")

    def sees(self) -> Sequence[Seen]:
        """Everything so far."""
        return self._sights

    async def news(self, after: int, within_s: float) -> bool:
        """Wait until there is more than `after` sights; False where the time is over."""
        try:
            async with asyncio.timeout(within_s):
                while len(self._sights) <= after:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _see(self, what: Literal["said", "sent"], text: str) -> None:
        number, at_s = len(self._sights) + 1, time.time() + self._stage.offset_s
        self._sights.append(Seen(number, what, number, text, at_s=at_s, realm="openai"))
        self._changed.set()


@asynccontextmanager
async def seat_at_openai(stage: Stage) -> AsyncIterator[OpenAiSeat]:
    """A seat for a program, while the block runs."""
    seat = OpenAiSeat(stage)
    work = asyncio.create_task(seat.ask())
    try:
        yield seat
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
