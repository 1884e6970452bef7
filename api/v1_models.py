"""What goes over the wire at /v1, in OpenAI's names; unknown fields are dropped, not refused.

The fields of a request are exactly those that may reach the upstream. Source: the OpenAI API
reference, "Create chat completion"; top_k, min_p and reasoning_content as vLLM has them.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.models import Outgoing
from core.desk.chat_request import CHOICES_MAX

TOKENS_MAX: Final = 10**9


class OpenAIIncoming(BaseModel):
    """What OpenAI's clients send."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, hide_input_in_errors=True)


class OpenAIOutgoing(Outgoing):
    """What OpenAI's clients read."""

    model_config = ConfigDict(alias_generator=None, extra="allow")


def _content(value: object) -> object:
    """A text, or the text parts that make it; a part's other members are dropped."""
    match value:
        case None | str():
            return value
        case [_, *_]:
            return [_part(part) for part in value]
        case _:
            raise PydanticCustomError("content", "Content is a text or a list of text parts.")


def _part(part: object) -> dict[str, str]:
    match part:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case _:
            raise PydanticCustomError("part", "Only text parts are sold.")


def _stop(value: object) -> object:
    match value:
        case None | str():
            return value
        case list() if all(isinstance(text, str) for text in value):
            return value
        case _:
            raise PydanticCustomError("stop", "Stop is a text or a list of texts.")


def _tool_choice(value: object) -> object:
    match value:
        case None | "none" | "auto" | "required" | {"type": "function" | "allowed_tools"}:
            return value
        case _:
            raise PydanticCustomError(
                "tool_choice", "It is none, auto, required, or an object that names functions."
            )


# Pydantic's unions would name their branches in the pointers of faults, so these are read by hand.
_TEXT: Final = {"type": "string"}
_NULL: Final = {"type": "null"}
_TEXT_PART: Final = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": _TEXT},
    "required": ["type", "text"],
}
_FUNCTION_CHOICE: Final = {
    "type": "object",
    "properties": {"type": {"enum": ["function", "allowed_tools"]}},
    "required": ["type"],
}
Content = Annotated[
    Any,
    AfterValidator(_content),
    WithJsonSchema(
        {"anyOf": [_TEXT, {"type": "array", "minItems": 1, "items": _TEXT_PART}, _NULL]}
    ),
]
Stop = Annotated[
    Any,
    AfterValidator(_stop),
    WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _TEXT}, _NULL]}),
]
ToolChoice = Annotated[
    Any,
    AfterValidator(_tool_choice),
    WithJsonSchema({"anyOf": [{"enum": ["none", "auto", "required"]}, _FUNCTION_CHOICE, _NULL]}),
]
Object = dict[str, Any]
Fraction = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
TokenCount = Annotated[int, Field(ge=1, le=TOKENS_MAX)]


class FunctionCall(OpenAIIncoming):
    """The function that a model has called, and its arguments as it wrote them."""

    name: str
    arguments: str


class ToolCall(OpenAIIncoming):
    """A call that a model has made."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class ChatMessage(OpenAIIncoming):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class Tool(OpenAIIncoming):
    """A function that the model may call; tools that the upstream runs itself are not sold."""

    type: Literal["function"]
    function: Object


class StreamOptions(OpenAIIncoming):
    """How to stream."""

    include_usage: bool | None = None


class ChatCompletionRequest(OpenAIIncoming):
    """A chat completion to make."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    n: Annotated[int, Field(ge=1, le=CHOICES_MAX)] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    response_format: Object | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Fraction | None = None
    top_k: int | None = None
    min_p: Fraction | None = None
    stop: Stop = None
    seed: int | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None


class ChatUsage(OpenAIOutgoing):
    """What a completion took, what it cost, and what is left of the balance."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost_msat: int
    balance_msat: int


class ChatCompletion(OpenAIOutgoing):
    """A chat completion as the upstream made it, with its cost."""

    choices: list[Object]
    usage: ChatUsage


class ModelPricing(Outgoing):
    """The list price of a model."""

    model_config = ConfigDict(alias_generator=None)

    input_msat_per_1k: int
    output_msat_per_1k: int


class ModelCard(OpenAIOutgoing):
    """A model for sale."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int
    pricing: ModelPricing


class ModelList(OpenAIOutgoing):
    """The models for sale; the first is the default of the other routes."""

    object: Literal["list"]
    data: list[ModelCard]


def forwarded_fields(request: ChatCompletionRequest) -> Mapping[str, Any]:
    """The fields that the customer has set, as plain values."""
    return request.model_dump(exclude_unset=True)
