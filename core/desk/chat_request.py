"""A chat completion as a customer asks for it, and as the upstream gets it.

Only what is named here goes to the upstream: any other field could make the operator's bill larger
than the hold. The door has checked that fields are of their types; what they mean is checked here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from core.agents.port import Model
from core.books.metering import Ask
from core.values.errors import InvalidRequest, NotFound
from core.values.money import ceil_div
from core.values.pricing import BYTES_PER_TOKEN

CHOICES_MAX: Final = 128

# Beside these the upstream gets the model, the messages, the output limit and how to stream.
FORWARDED: Final = (
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "n",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "reasoning_effort",
    "verbosity",
)
_LIMITS: Final = ("max_tokens", "max_completion_tokens")
_STREAM: Final[Mapping[str, Any]] = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One request. `wanted` is the output limit that the client, else the model, sets."""

    model: Model
    forwarded: Mapping[str, Any]
    limit_names: Sequence[str]
    wanted: int
    choices: int
    body_bytes: int
    text_bytes: int
    is_stream: bool
    wants_usage: bool

    @property
    def ask(self) -> Ask:
        """Its size, for the meter."""
        return Ask(self.model.id, self.model.prices, self.body_bytes, self.choices, self.wanted)

    def upstream_body(self, output_limit: int) -> bytes:
        """What the upstream gets; the limit stands under the name that the client used.

        A stream always ends with its usage, whether the client sees that or not.
        """
        body = {
            "model": self.model.upstream_id,
            **self.forwarded,
            **dict.fromkeys(self.limit_names, output_limit),
            **(_STREAM if self.is_stream else {}),
        }
        return orjson.dumps(body)


def read_chat_request(
    fields: Mapping[str, Any], models: Mapping[str, Model], *, body_bytes: int
) -> ChatRequest:
    """The request that these fields make. Raises InvalidRequest, NotFound for another model.

    `body_bytes` is the size of the body as it came: no token is shorter than a byte of it.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    text_bytes = sum(len(text.encode()) for text in _checked_texts(given["messages"]))
    model = models.get(given["model"])
    if model is None:
        raise NotFound("There is no model by that name.")
    if ceil_div(text_bytes, BYTES_PER_TOKEN) > model.context_tokens:
        raise InvalidRequest("The messages are too long for the model.", pointer="/messages")
    limits = {name: given[name] for name in _LIMITS if name in given}
    return ChatRequest(
        model=model,
        forwarded={name: given[name] for name in ("messages", *FORWARDED) if name in given},
        limit_names=tuple(limits) or ("max_tokens",),
        wanted=min(*limits.values(), model.max_output_tokens)
        if limits
        else model.max_output_tokens,
        choices=given.get("n", 1),
        body_bytes=body_bytes,
        text_bytes=text_bytes,
        is_stream=given.get("stream", False),
        wants_usage=bool((given.get("stream_options") or {}).get("include_usage")),
    )


def _checked_texts(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """All texts of the messages. Raises InvalidRequest for a message that says nothing."""
    for index, message in enumerate(messages):
        content = message.get("content")
        match content:
            case str():
                yield content
            case list():
                yield from (part["text"] for part in content)
            case _ if message["role"] != "assistant":
                raise InvalidRequest(
                    "The message has no content.", pointer=f"/messages/{index}/content"
                )
        for name in ("refusal", "reasoning_content"):
            yield message.get(name) or ""
        for call in message.get("tool_calls") or ():
            yield from (call["function"]["name"], call["function"]["arguments"])
