"""The offline agent in OpenAI's form: what a model upstream would send, made here.

It lets the OpenAI-compatible routes be used without any account. Of a request it looks at the
messages and the output limit; tools and formats it does not know, and says so by its answers.
"""

import secrets
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from core.agents.offline import OfflineAgent, cut, pieces_of, usage_of
from core.agents.port import Message, Usage
from core.values.clock import Clock

_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "user": "user",
    "assistant": "assistant",
}


@dataclass(frozen=True, slots=True)
class OfflineRelay:
    """Answers chat completions with the offline agent's texts."""

    agent: OfflineAgent
    clock: Clock

    async def plain(self, body: bytes) -> bytes:
        """The whole answer."""
        answer = self._answered(orjson.loads(body))
        whole = {
            **answer.head("chat.completion"),
            "choices": [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": answer.text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": answer.finish,
                }
                for index in range(answer.choices)
            ],
            "usage": answer.usage,
        }
        return orjson.dumps(whole)

    async def stream(self, body: bytes) -> AsyncGenerator[bytes, None]:
        """The answer in events, the usage in the last one."""
        answer = self._answered(orjson.loads(body))
        for event in answer.events():
            yield b"data: " + orjson.dumps(event) + b"\n\n"
        yield b"data: [DONE]\n\n"

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _answered(self, call: Mapping[str, Any]) -> "_Answer":
        messages = [_message(each) for each in call["messages"]]
        limits = (call.get(name) for name in ("max_tokens", "max_completion_tokens"))
        limit = min(limit for limit in limits if limit is not None)
        whole = self.agent.answer(messages)
        text = cut(whole, limit)
        return _Answer(
            answer_id=f"chatcmpl-{secrets.token_hex(12)}",
            model=call["model"],
            created_s=self.clock.now_ms() // 1000,
            text=text,
            finish="stop" if text == whole else "length",
            choices=call.get("n", 1),
            counts=usage_of(messages, text),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """One answer, given `choices` times."""

    answer_id: str
    model: str
    created_s: int
    text: str
    finish: str
    choices: int
    counts: Usage

    def head(self, kind: str) -> dict[str, object]:
        """What every object of this answer begins with."""
        created = {"object": kind, "created": self.created_s}
        return {"id": self.answer_id, **created, "model": self.model}

    @property
    def usage(self) -> dict[str, int]:
        """The usage member: each choice counts."""
        asked, made = self.counts.input_tokens or 0, self.counts.output_tokens or 0
        made *= self.choices
        return {"prompt_tokens": asked, "completion_tokens": made, "total_tokens": asked + made}

    def events(self) -> Iterator[dict[str, object]]:
        """The chunks of a stream, without its end."""
        for index in range(self.choices):
            yield self._chunk(index, {"role": "assistant", "content": ""}, None)
            for piece in pieces_of(self.text):
                yield self._chunk(index, {"content": piece}, None)
            yield self._chunk(index, {}, self.finish)
        yield {**self.head("chat.completion.chunk"), "choices": [], "usage": self.usage}

    def _chunk(self, index: int, delta: dict[str, str], finish: str | None) -> dict[str, object]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self.head("chat.completion.chunk"), "choices": [choice], "usage": None}


def _message(told: Mapping[str, Any]) -> Message:
    """A message as the agent knows them: roles of other kinds are context, parts are one text."""
    content = told.get("content") or ""
    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
    return Message(_ROLES.get(told["role"], "system"), text)
