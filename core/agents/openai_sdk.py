"""The agent behind an OpenAI-compatible upstream. The only file that imports openai.

One evaluation or one work call is one model run: the SDK's own retries are off, because it sends
none of them an idempotency key and each is billed. An upstream that does not know a form of the
request (json_schema, max_tokens) refuses it with 400 before it runs a model; then the next form is
tried, and the one that was taken is remembered for the life of this object.

Fault reasons carry statuses and error codes only: upstreams echo keys and prompts in messages.
"""

import asyncio
import re
import secrets
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any, Literal, TypeVar

import aiohttp
import openai
import orjson
from openai.types.chat import ChatCompletionMessageParam

from core.agents.evaluation import VERDICT_FORMAT, question, read_verdict, unfenced
from core.agents.port import (
    AgentFault,
    BadVerdict,
    Completion,
    Delta,
    Message,
    Model,
    UpstreamAway,
    Usage,
    Verdict,
)
from core.values.text import storable

T = TypeVar("T")

EVALUATION_TOKENS_MAX = 2_048  # a verdict has about 100; models that think aloud need the rest
_CONNECT_TIMEOUT_S = 10.0
_READY_TIMEOUT_S = 5.0
_RETRYABLE_BELOW_500 = frozenset({408, 409, 425, 429})
_USAGE_BELOW = 2**53
_CODE = re.compile(r"[a-z_]{1,40}")
# Real text has 4 or 5 characters to a token; an upstream that sends far more than it was allowed
# to is stopped before it fills the memory.
_CHARS_PER_TOKEN_MAX = 64

_Format = Literal["json_schema", "json_object", "text"]
_FORMATS: tuple[_Format, ...] = ("json_schema", "json_object", "text")


class OpenAIAgent:
    """Evaluates and works through chat completions."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        timeout_s: float,
        boundary: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        """`timeout_s` bounds an evaluation as a whole, and each silence of a stream.

        `boundary` makes the lines around a request. An empty `api_key` is for upstreams that
        want none.
        """
        self._timeout_s = timeout_s
        self._boundary = boundary
        self._formats = _FORMATS
        self._limit_name = "max_tokens"
        self._client = openai.AsyncOpenAI(
            api_key=api_key or "none",  # the SDK refuses to start without one
            base_url=base_url,
            max_retries=0,
            timeout=openai.Timeout(None, connect=min(timeout_s, _CONNECT_TIMEOUT_S)),
            # A redirect would carry requests to another place than the operator named.
            http_client=openai.DefaultAioHttpClient(follow_redirects=False),
        )

    async def evaluate(self, model: Model, request: str) -> Verdict:
        """One model run that ends in a verdict. Raises AgentFault."""
        messages = question(model, request, boundary=self._boundary())
        with _faults():
            async with asyncio.timeout(self._timeout_s):
                form, completion = await self._evaluated(model, messages)
        content = getattr(getattr(_first_choice(completion), "message", None), "content", None)
        if not isinstance(content, str):
            raise BadVerdict("the upstream answered without a text")
        return read_verdict(unfenced(content) if form == "text" else content)

    async def stream(
        self, model: Model, messages: Sequence[Message], *, max_output_tokens: int
    ) -> AsyncIterator[Delta | Usage]:
        """One model run, piece by piece. Raises AgentFault, also after some pieces."""
        room = max_output_tokens * _CHARS_PER_TOKEN_MAX
        finish, usage = None, Usage(None, None)
        async with aclosing(self._chunks(model, messages, max_output_tokens)) as chunks:
            async for chunk in chunks:
                choice = _first_choice(chunk)
                finish = getattr(choice, "finish_reason", None) or finish
                usage = _usage_of(chunk) or usage
                text = getattr(getattr(choice, "delta", None), "content", None)
                if isinstance(text, str) and text:
                    room -= len(text)
                    yield Delta(storable(text))
                if room < 0:
                    raise AgentFault("the upstream sent more than it was allowed to", retry=False)
        if finish is None or finish == "error":
            raise AgentFault("the stream ended without a finish")
        yield usage

    async def complete(
        self, model: Model, messages: Sequence[Message], *, max_output_tokens: int
    ) -> Completion:
        """One model run whose answer comes whole, over the SDK's bytes road. Raises AgentFault.

        Building its typed answers costs the SDK twice the CPU of all the rest (measured).
        """
        call = {"model": model.upstream_id or model.id, "messages": _params(messages)}
        with _faults():
            async with asyncio.timeout(self._timeout_s):
                raw = await self._with_limit(partial(self._post, call), max_output_tokens)
            answer = orjson.loads(raw)
        return _completion(answer)

    async def ready(self) -> bool:
        """Whether the upstream lists its models, which costs nothing."""
        try:
            with _faults():
                async with asyncio.timeout(_READY_TIMEOUT_S):
                    answer = await self._client.models.with_raw_response.list()
        except AgentFault:
            return False
        return "json" in answer.headers.get("content-type", "")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _evaluated(self, model: Model, messages: Sequence[Message]) -> tuple[_Format, object]:
        """The answer in the strictest format that the upstream takes, and which that was."""
        for form in self._formats:
            response_format = {} if form == "text" else {"response_format": VERDICT_FORMAT[form]}
            try:
                completion = await self._create(
                    model, messages, EVALUATION_TOKENS_MAX, **response_format
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                if form == "text":
                    raise
            else:
                self._formats = _FORMATS[_FORMATS.index(form) :]
                return form, completion
        raise AssertionError(self._formats)

    async def _chunks(
        self, model: Model, messages: Sequence[Message], max_output_tokens: int
    ) -> AsyncGenerator[object, None]:
        """The events of one stream, none of them awaited longer than the time limit."""
        with _faults():
            async with asyncio.timeout(self._timeout_s):
                events = await self._create(
                    model,
                    messages,
                    max_output_tokens,
                    stream=True,
                    stream_options={"include_usage": True},
                )
        try:
            while True:
                with _faults():
                    async with asyncio.timeout(self._timeout_s):
                        chunk = await anext(events, None)
                if chunk is None:
                    return
                yield chunk
        finally:
            await events.close()

    async def _create(
        self, model: Model, messages: Sequence[Message], max_output_tokens: int, **more: Any
    ) -> Any:
        """One call through the SDK's types."""
        create: Any = self._client.chat.completions.create
        call = {"model": model.upstream_id or model.id, "messages": _params(messages), **more}
        return await self._with_limit(partial(create, **call), max_output_tokens)

    async def _post(self, call: Mapping[str, object], **limit: int) -> bytes:
        """One call of bytes through the SDK's client."""
        return await self._client.post(
            "/chat/completions",
            content=orjson.dumps({**call, **limit}),
            cast_to=bytes,
            options={"headers": {"Content-Type": "application/json"}},
        )

    async def _with_limit(self, ask: Callable[..., Awaitable[T]], max_output_tokens: int) -> T:
        """One call, with the output limit under the name that this upstream takes."""
        name = self._limit_name
        try:
            return await ask(**{name: max_output_tokens})
        except openai.BadRequestError as refusal:
            if name == "max_completion_tokens" or "max_completion_tokens" not in refusal.message:
                raise
        self._limit_name = "max_completion_tokens"
        return await ask(max_completion_tokens=max_output_tokens)


def _params(messages: Sequence[Message]) -> list[ChatCompletionMessageParam]:
    params: list[ChatCompletionMessageParam] = []
    for message in messages:
        match message.role:
            case "system":
                params.append({"role": "system", "content": message.content})
            case "user":
                params.append({"role": "user", "content": message.content})
            case "assistant":
                params.append({"role": "assistant", "content": message.content})
    return params


# The SDK builds its types without validation: what an upstream left out or wrote in another shape
# arrives as it was, so nothing of an answer is taken for what its type says.


def _first_choice(answer: object) -> object:
    choices = getattr(answer, "choices", None)
    return choices[0] if isinstance(choices, list) and choices else None


def _usage_of(chunk: object) -> Usage | None:
    usage = getattr(chunk, "usage", None)
    if usage is None:
        return None
    return Usage(
        _count(getattr(usage, "prompt_tokens", None)),
        _count(getattr(usage, "completion_tokens", None)),
    )


def _completion(answer: object) -> Completion:
    """The text and usage of a whole answer. Raises AgentFault for what is none."""
    match answer:
        case {"choices": [{"message": {"content": str() | None as text}}, *_], **more}:
            usage = more.get("usage")
        case _:
            raise AgentFault("the upstream answered something that is no completion")
    told = usage if isinstance(usage, dict) else {}
    counts = Usage(_count(told.get("prompt_tokens")), _count(told.get("completion_tokens")))
    return Completion(storable(text or ""), counts)


def _count(tokens: object) -> int | None:
    if isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < _USAGE_BELOW:
        return tokens
    return None


@contextmanager
def _faults() -> Iterator[None]:
    """Turn whatever goes wrong at the upstream into an AgentFault without the upstream's words."""
    try:
        yield
    except openai.APIStatusError as problem:
        code = f" {problem.code}" if problem.code and _CODE.fullmatch(problem.code) else ""
        status = problem.status_code
        reason = f"the upstream answered {status}{code}"
        if status >= 500 or status in _RETRYABLE_BELOW_500:
            raise UpstreamAway(reason) from None
        raise AgentFault(reason, retry=False) from None
    except TimeoutError:
        raise UpstreamAway("the upstream did not answer in time") from None
    except openai.APIConnectionError:  # the transport calls a lost connection a timeout, too
        raise AgentFault("the connection to the upstream failed") from None
    except openai.OpenAIError:
        raise AgentFault("the upstream reported an error in its answer") from None
    except (aiohttp.ClientError, ValueError, RecursionError):
        raise AgentFault("the upstream answered something unreadable") from None
