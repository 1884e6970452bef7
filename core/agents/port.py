"""The agent port: who looks at a request, names the effort, and does the work.

An agent knows no money and no jobs. Whatever it says is data: the price comes from the formula in
`core/values/pricing.py`, never from an agent's words.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from core.values.pricing import Prices


@dataclass(frozen=True, slots=True)
class Model:
    """A model for sale."""

    id: str
    upstream_id: str
    prices: Prices
    max_output_tokens: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evaluation found. `estimated_output_tokens` is unchecked and may be absurd."""

    decision: Literal["accept", "reject"]
    reason: str
    summary: str
    estimated_output_tokens: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message to the model."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the upstream reported them; None where it reported nothing usable."""

    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer, and what it took."""

    text: str
    usage: Usage


class AgentFault(Exception):
    """The agent gave no usable answer. `retry` says whether another attempt may help.

    `reason` is one line for the log, without prompts or keys.
    """

    def __init__(self, reason: str, *, retry: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry = retry


class BadVerdict(AgentFault):
    """The upstream answered an evaluation with something that is no verdict."""


class UpstreamAway(AgentFault):
    """The upstream cannot serve now: away, overloaded, silent, or it does not let us in.

    `retry_after_s` is when it said that it can again.
    """

    def __init__(
        self, reason: str, *, retry: bool = True, retry_after_s: int | None = None
    ) -> None:
        super().__init__(reason, retry=retry)
        self.retry_after_s = retry_after_s


class Agent(Protocol):
    """Evaluates requests and works on them."""

    async def evaluate(self, model: Model, request: str) -> Verdict:
        """One evaluation call. Raises AgentFault; BadVerdict where the answer is no verdict.

        Exactly one call to the upstream is one attempt; asking again is the caller's decision.
        """
        ...

    def stream(
        self, model: Model, messages: Sequence[Message], *, max_output_tokens: int
    ) -> AsyncIterator[Delta | Usage]:
        """One work call: the answer in pieces, then exactly one Usage at the end.

        Raises AgentFault where the upstream refuses, stalls, cuts off or answers nonsense. An
        answer cut by length ends normally. Closing the iterator stops the upstream.
        """
        ...

    async def complete(
        self, model: Model, messages: Sequence[Message], *, max_output_tokens: int
    ) -> Completion:
        """One work call whose answer comes whole. Raises AgentFault."""
        ...

    async def ready(self) -> bool:
        """Whether the upstream can be reached, asked in a way that costs nothing."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class Relay(Protocol):
    """Carries chat completions in OpenAI's form to the upstream and back, as bytes.

    One call is one model run. What comes back is not understood here: only an answer with status
    200 that came whole counts. Raises AgentFault, UpstreamAway where nobody could serve.
    """

    async def plain(self, body: bytes) -> bytes:
        """The whole answer."""
        ...

    def stream(self, body: bytes) -> AsyncGenerator[bytes, None]:
        """The answer as it comes, cut anywhere; closing the generator stops the upstream."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...
