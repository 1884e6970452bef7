"""An agent without any account: deterministic text tools that say what they are.

It takes the same road as a model (verdict, pieces, usage), so that prices, metering and refunds
are real; only the brain is small. The same request always has the same answer, so the verdict
measures the answer itself, and a request is accepted only if its answer fits.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime

from core.agents.port import Completion, Delta, Message, Model, Usage, Verdict
from core.agents.tools.about import NATURE, introduce, refuse
from core.agents.tools.arithmetic import calculate
from core.agents.tools.bases import change_base
from core.agents.tools.codecs import checksum, encode_or_decode
from core.agents.tools.comparing import compare
from core.agents.tools.counting import count
from core.agents.tools.dates import dates
from core.agents.tools.extract import extract
from core.agents.tools.formats import formats
from core.agents.tools.letters import letters
from core.agents.tools.lists import lists
from core.agents.tools.summary import summarise
from core.agents.tools.task import Cannot, Done, readings
from core.agents.tools.totals import total
from core.agents.tools.units import convert_units
from core.values.clock import Clock
from core.values.pricing import BYTES_PER_TOKEN, estimated_tokens
from core.values.text import storable

_HINT = 'Ask "what can you do?" for its tools, or try: Sort these names: Bob, alice, Carol'
_PIECE_CHARS = 400


class OfflineAgent:
    """Works with pure text tools; the clock is read only for requests about today."""

    def __init__(self, clock: Clock) -> None:
        def today() -> date:
            return datetime.fromtimestamp(clock.now_ms() / 1000, UTC).date()

        # The first tool that takes a request answers it: narrow patterns before wide ones, and
        # what people ask of language models is refused by name only when no tool wants it.
        self._tools = (
            introduce,
            count,
            checksum,
            change_base,
            encode_or_decode,
            formats,
            dates(today),
            extract,
            compare,
            summarise,
            total,
            lists,
            letters,
            convert_units,
            calculate,
            refuse,
        )

    async def evaluate(self, model: Model, request: str) -> Verdict:
        """Do the work once, to know whether it can be done and how long the answer is."""
        outcome = self._worked_out(request)
        if isinstance(outcome, Cannot):
            return Verdict("reject", outcome.why, NATURE, 0)
        tokens = estimated_tokens(outcome.text)
        if tokens > model.max_output_tokens:
            why = f"The answer would have {tokens} tokens; {model.max_output_tokens} are allowed."
            return Verdict("reject", why, NATURE, 0)
        return Verdict("accept", "One of the offline text tools does this.", outcome.what, tokens)

    async def stream(
        self, model: Model, messages: Sequence[Message], *, max_output_tokens: int
    ) -> AsyncIterator[Delta | Usage]:
        """The answer to the last user message; what it cannot do is answered by saying so."""
        done = await self.complete(model, messages, max_output_tokens=max_output_tokens)
        for piece in pieces_of(done.text):
            yield Delta(piece)
        yield done.usage

    async def complete(
        self, model: Model, messages: Sequence[Message], *, max_output_tokens: int
    ) -> Completion:
        """The same answer in one piece."""
        text = cut(self.answer(messages), min(max_output_tokens, model.max_output_tokens))
        return Completion(text, usage_of(messages, text))

    async def ready(self) -> bool:
        """There is nothing that could be away."""
        return True

    async def aclose(self) -> None:
        """There is nothing to close."""

    def answer(self, messages: Sequence[Message]) -> str:
        """The whole answer to the last user message."""
        questions = [message.content for message in messages if message.role == "user"]
        outcome = self._worked_out(questions[-1] if questions else "")
        return outcome.text if isinstance(outcome, Done) else outcome.why

    def _worked_out(self, request: str) -> Done | Cannot:
        for task in readings(request):
            for tool in self._tools:
                outcome = tool(task)
                if isinstance(outcome, Done):
                    return _checked(outcome)
                if outcome is not None:
                    return Cannot(f"{outcome.why} {NATURE} {_HINT}")
        return Cannot(f"No tool here fits this request. {NATURE} {_HINT}")


def cut(text: str, tokens: int) -> str:
    """As much of a text as so many tokens hold."""
    return text.encode()[: BYTES_PER_TOKEN * tokens].decode("utf-8", "ignore")


def pieces_of(text: str) -> list[str]:
    """A text as a stream sends it."""
    return [text[at : at + _PIECE_CHARS] for at in range(0, len(text), _PIECE_CHARS)]


def usage_of(messages: Sequence[Message], text: str) -> Usage:
    """What this answer to these messages took."""
    asked = (storable(message.content) for message in messages)
    return Usage(estimated_tokens(*asked), estimated_tokens(text))


def _checked(done: Done) -> Done | Cannot:
    text = storable(done.text)
    if not text.strip():
        return Cannot(f"Nothing would be left of that text. {NATURE} {_HINT}")
    return Done(done.what, text)
