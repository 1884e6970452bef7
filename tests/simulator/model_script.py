"""What the simulated model upstream is told to do with one call."""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Self

_CREATED = 1_800_000_000
Stop = Literal["hang", "cut", "malformed", "error"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer, plain or streamed as the call asks.

    `usage` is "measured" (four bytes a token), None (left out), or two values sent as they are.
    `stop_after` pieces (0: before the first byte) the answer stops in the way `stop` names.
    `body` replaces the protocol by raw text.
    """

    text: str = "Done as asked."
    pieces: int = 3
    every_s: float = 0.0
    usage: Any = "measured"
    finish: str | None = "stop"
    with_done: bool = True
    with_choices: bool = True
    keep_alive_s: float = 0.0  # a comment this often while the stream waits
    stop: Stop | None = None
    stop_after: int = 0
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    content_type: str = "application/json"

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """An answer as the control API names it."""
        headers = tuple((name, value) for name, value in fields.pop("headers", {}).items())
        if isinstance(fields.get("usage"), list):
            fields["usage"] = tuple(fields["usage"])
        return cls(**fields, headers=headers)


class Fault:
    """The ways in which an upstream disappoints, as answers."""

    @staticmethod
    def status(status: int, *, retry_after: int | None = None, **error: Any) -> Answer:
        """An error in OpenAI's shape."""
        headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
        member = {"message": "simulated", "type": "simulated", "param": None, "code": None} | error
        return Answer(status=status, headers=headers, body=json.dumps({"error": member}))

    @staticmethod
    def reset() -> Answer:
        """The connection is cut before the first byte."""
        return Answer(stop="cut")

    @staticmethod
    def hang() -> Answer:
        """No byte, until the client goes."""
        return Answer(stop="hang")

    @staticmethod
    def stall(*, after: int = 1, text: str = "one two three") -> Answer:
        """The stream falls silent."""
        return Answer(text=text, stop="hang", stop_after=after)

    @staticmethod
    def cut(*, after: int = 1, text: str = "one two three") -> Answer:
        """The connection is cut in the stream."""
        return Answer(text=text, stop="cut", stop_after=after)

    @staticmethod
    def malformed(*, after: int = 1) -> Answer:
        """An event that is no JSON."""
        return Answer(stop="malformed", stop_after=after)

    @staticmethod
    def error_event(*, after: int = 1) -> Answer:
        """An error inside an answer that began with 200."""
        return Answer(stop="error", stop_after=after)

    @staticmethod
    def html(status: int = 200) -> Answer:
        """A proxy's page instead of an answer."""
        page = "<html><body>Bad gateway</body></html>"
        return Answer(status=status, body=page, content_type="text/html")

    @staticmethod
    def raw(body: str, content_type: str = "text/event-stream") -> Answer:
        """Exactly these bytes."""
        return Answer(body=body, content_type=content_type)


def verdict(
    decision: Any = "accept",
    *,
    estimate: Any = 100,
    reason: Any = "A text model can do this.",
    summary: Any = "Does what was asked.",
    **more: Any,
) -> Answer:
    """An evaluation's answer; any field may be of a wrong kind, and more fields may follow."""
    fields = {"decision": decision, "reason": reason, "summary": summary}
    return Answer(text=json.dumps(fields | {"estimated_output_tokens": estimate} | more), pieces=1)


@dataclass(slots=True)
class Settings:
    """How the upstream behaves on every call."""

    refused_formats: set[str] = field(default_factory=set)  # "json_schema", "json_object"
    wants_max_completion_tokens: bool = False
    models: tuple[str, ...] = ("simulated-model",)
    api_key: str | None = None  # None: any
    work: Answer = field(default_factory=Answer)  # where no script is left
    verdict: Answer = field(default_factory=verdict)


@lru_cache(maxsize=256)
def events_of(answer: Answer, model: str, is_usage_asked: bool) -> tuple[bytes, ...]:  # noqa: FBT001
    """The events of a stream without its close, one for each piece, encoded once."""
    asked = {"usage": None} if is_usage_asked else {}
    if not answer.with_choices:
        return (_event({"id": "chatcmpl-sim", "model": model, "choices": []} | asked),)
    return tuple(_chunk(model, piece, None, asked) for piece in split(answer.text, answer.pieces))


def close_of(answer: Answer, model: str, usage: tuple[Any, Any] | None) -> bytes:
    """What ends a stream: the finish, the usage where there is one, and [DONE]."""
    close = b""
    if answer.finish is not None and answer.with_choices:
        close += _chunk(model, "", answer.finish, {})
    if usage is not None:
        last = {"id": "chatcmpl-sim", "object": "chat.completion.chunk", "created": _CREATED}
        close += _event(last | {"model": model, "choices": [], "usage": usage_of(usage)})
    return close + (b"data: [DONE]\n\n" if answer.with_done else b"")


def completion_of(answer: Answer, model: str, usage: tuple[Any, Any] | None) -> bytes:
    """The plain answer."""
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": answer.finish, "logprobs": None}
    whole: dict[str, Any] = {
        "id": "chatcmpl-sim",
        "object": "chat.completion",
        "created": _CREATED,
        "model": model,
        "choices": [choice] if answer.with_choices else [],
    }
    return json.dumps(whole | ({"usage": usage_of(usage)} if usage else {})).encode()


def usage_of(usage: tuple[Any, Any]) -> dict[str, Any]:
    """OpenAI's usage member from two values."""
    prompt, completion = usage
    total = prompt + completion if isinstance(prompt, int) and isinstance(completion, int) else None
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}


def measured(body: dict[str, Any], answer: Answer) -> tuple[Any, Any] | None:
    """The usage of this answer to this call; None where it is left out."""
    if answer.usage != "measured":
        return None if answer.usage is None else tuple(answer.usage)
    asked = sum(len(str(message.get("content", "")).encode()) for message in body["messages"])
    return -(-asked // 4), -(-len(answer.text.encode()) // 4)


def split(text: str, pieces: int) -> list[str]:
    """The text in about so many pieces, none empty."""
    size = max(1, -(-len(text) // max(1, pieces)))
    return [text[at : at + size] for at in range(0, len(text), size)]


def _chunk(model: str, text: str, finish: str | None, more: dict[str, Any]) -> bytes:
    delta = {"role": "assistant", "content": text} if finish is None else {}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {
        "id": "chatcmpl-sim",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": model,
        "choices": [choice],
    }
    return _event(chunk | more)


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
