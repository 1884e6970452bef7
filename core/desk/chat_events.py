"""The events of a streamed completion as they pass: what may go on, what was made, how it ends.

Whole events go on as they came. Withheld are the usage, wherever the upstream puts it, and the
mark of the end: the customer gets both from us, after the charge. Source: WHATWG HTML, section 9.2
(event streams), and the OpenAI API reference, "Chat completion chunk".
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

from core.agents.port import AgentFault, Usage

DONE: Final = b"data: [DONE]\n\n"
EVENT_BYTES_MAX: Final = 32 * 1024 * 1024
COUNT_BELOW: Final = 2**53  # what every JSON reader holds exactly; more is absurd
_NOT_MADE: Final = frozenset({"role", "type", "id"})
_FIELDS: Final = (b"event:", b"id:", b"retry:", b":")


class EventReader:
    """Reads one stream."""

    def __init__(self) -> None:
        self.usage = Usage(None, None)
        self.made_bytes = 0  # of all that was made for the customer: texts, calls, reasoning
        self.is_done = False
        self.told_usage: Mapping[str, Any] = {}
        self._rest = b""
        self._is_finished = False
        self._head: Mapping[str, Any] = {}

    @property
    def has_ended(self) -> bool:
        """Whether the upstream has said all: it closed the stream, or finished an answer in it."""
        return self.is_done or self._is_finished

    def feed(self, data: bytes) -> bytes:
        """The events that may go on now, whole ones only.

        Raises AgentFault for an error that the upstream reports and for what is no event.
        """
        data = self._rest + data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        end = data.rfind(b"\n\n")
        if end < 0:
            if len(data) > EVENT_BYTES_MAX:
                raise AgentFault("the upstream sent an event without end", retry=False)
            self._rest = data
            return b""
        self._rest = data[end + 2 :]
        events = data[:end].split(b"\n\n")
        passed = [self._pass(event) for event in events]
        if passed == events:
            return data[: end + 2]
        return b"".join(event + b"\n\n" for event in passed if event)

    def closing(self, usage: Mapping[str, Any] | None) -> bytes:
        """What ends the stream: the usage where it is wanted, and the mark."""
        if usage is None:
            return DONE
        event = {**self._skeleton(), "choices": [], "usage": usage}
        return b"data: " + dumped(event) + b"\n\n" + DONE

    def error(self, code: str, message: str) -> bytes:
        """What ends a stream that has failed."""
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        error = {"code": code, "message": message}
        return (
            b"data: " + dumped({**self._skeleton(), "error": error, "choices": [choice]}) + b"\n\n"
        )

    def _skeleton(self) -> dict[str, Any]:
        head = {name: self._head[name] for name in ("id", "created", "model") if name in self._head}
        return {"object": "chat.completion.chunk", **head}

    def _pass(self, event: bytes) -> bytes:
        """The event as it goes on; nothing where it does not."""
        if self.is_done:
            return b""
        payload = event[6:] if event.startswith(b"data: ") else b"\n"
        if b"\n" in payload:
            payload = _payload(event)
        if not payload:
            return event
        if payload == b"[DONE]":
            self.is_done = True
            return b""
        chunk = read_object(payload)
        self._head = chunk
        choices = chunk.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                self._take(choice)
        if chunk.get("usage") is None:
            return event
        self.told_usage = chunk.pop("usage")
        self.usage = usage_in(self.told_usage)
        return b"data: " + dumped(chunk) if choices else b""

    def _take(self, choice: Any) -> None:
        """Count what one choice of a chunk adds."""
        if not isinstance(choice, dict):
            return
        delta = choice.get("delta")
        if isinstance(delta, dict):
            text = delta.get("content")
            is_all = len(delta) == 1 and isinstance(text, str)  # as in nearly all chunks
            self.made_bytes += text_bytes(text if is_all else delta)
        finish = choice.get("finish_reason")
        if finish == "error":
            raise AgentFault("the upstream reported an error in its answer")
        if finish is not None:
            self._is_finished = True


def read_object(raw: bytes) -> dict[str, Any]:
    """The object that the upstream sent. Raises AgentFault for anything else, and for an error."""
    try:
        value = _loaded(raw)
    except (ValueError, RecursionError):
        raise AgentFault("the upstream answered something unreadable") from None
    if not isinstance(value, dict):
        raise AgentFault("the upstream answered something unreadable")
    if value.get("error"):
        raise AgentFault("the upstream reported an error in its answer")
    return value


def read_completion(raw: bytes) -> dict[str, Any]:
    """A whole answer, its list of choices included. Raises AgentFault."""
    completion = read_object(raw)
    if not isinstance(completion.get("choices"), list):
        raise AgentFault("the upstream answered something that is no completion")
    return completion


def made_bytes(completion: Mapping[str, Any]) -> int:
    """The size of all that a whole answer holds for the customer."""
    choices = completion["choices"]
    return sum(text_bytes(each.get("message")) for each in choices if isinstance(each, dict))


def usage_in(told: object) -> Usage:
    """The counts of a usage member; None for each that is missing or absurd."""
    if not isinstance(told, dict):
        return Usage(None, None)
    return Usage(_count(told.get("prompt_tokens")), _count(told.get("completion_tokens")))


def text_bytes(value: Any) -> int:
    """The size of all texts in a delta or message; names of roles, types and calls aside."""
    match value:
        case str():
            return len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
        case list():
            return sum(map(text_bytes, value))
        case dict():
            return sum(text_bytes(part) for name, part in value.items() if name not in _NOT_MADE)
        case _:
            return 0


def dumped(value: object) -> bytes:
    """A value as JSON, halves of surrogate pairs included."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def _count(tokens: object) -> int | None:
    if isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < COUNT_BELOW:
        return tokens
    return None


def _payload(event: bytes) -> bytes:
    """The data of an event that is more than one line of it; nothing for a comment."""
    data = []
    for line in event.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line and not line.startswith(_FIELDS):
            raise AgentFault("the upstream answered something that is no event stream")
    return b"\n".join(data)


def _loaded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        # Servers that cut their texts by UTF-16 send halves of surrogate pairs, which orjson
        # refuses; the halves go on as they came.
        return json.loads(raw)
