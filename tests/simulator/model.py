"""A simulated model upstream: a real OpenAI-shaped server on loopback, scripted and journalled.

    async with SimulatedModel() as model:
        model.script(Fault.hang(), Answer("text", usage=(3, 4)))    # the next two work calls
        model.judge(verdict("reject"))                              # the next evaluation
        agent = OpenAIAgent(base_url=model.url, ...)
        ...
        assert model.calls[0].body["max_tokens"] == 1024

As a process of its own: `python -m tests.simulator.model --port 9000`; it prints its address as
one line of JSON and is steered by POST /_control/script, /_control/settings, /_control/reset and
read by GET /_control/calls.
"""

import argparse
import asyncio
import json
import math
import re
import sys
import time
from collections import deque
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Self

from aiohttp import web

from tests.simulator.model_script import (
    Answer,
    Fault,
    Settings,
    close_of,
    completion_of,
    events_of,
    measured,
    verdict,
)

__all__ = ["Answer", "Call", "Fault", "Settings", "SimulatedModel", "verdict"]


@dataclass(slots=True)
class Call:
    """One call as the upstream saw it."""

    body: dict[str, Any]
    authorization: str
    is_evaluation: bool
    began: float
    pieces_sent: int = 0
    client_left_after_s: float | None = None
    was_cut: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def sent(self, pieces: int, within_s: float = 5) -> None:
        """Wait until so many pieces have left."""
        async with asyncio.timeout(within_s):
            while self.pieces_sent < pieces:
                self._news.clear()
                await self._news.wait()

    async def over(self, within_s: float = 5) -> Self:
        """Wait until the call was answered, or its client has left."""
        async with asyncio.timeout(within_s):
            await self.ended.wait()
        return self

    def count_piece(self) -> None:
        """One more piece has left."""
        self.pieces_sent += 1
        self._news.set()


_BOUNDARY = re.compile("[0-9a-f]{32}")  # what the program puts around a request, each time anew


class SimulatedModel:
    """The upstream; starts and stops as a context manager, also again on the same port."""

    def __init__(self, settings: Settings | None = None, *, port: int = 0) -> None:
        self.settings = settings or Settings()
        self.calls: list[Call] = []
        self.is_steady = False  # whether a question that is asked again is answered as before
        self._given: dict[str, Answer] = {}
        self._port = port
        self._work: deque[Answer] = deque()
        self._verdicts: deque[Answer] = deque()
        self._arrival = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def port(self) -> int:
        """The port, chosen at the first start."""
        return self._port

    def script(self, *answers: Answer) -> None:
        """What the next work calls get, in order."""
        self._work.extend(answers)

    def judge(self, *answers: Answer) -> None:
        """What the next evaluation calls get, in order."""
        self._verdicts.extend(answers)

    async def called(self, times: int, within_s: float = 5) -> Call:
        """Wait for the call of this number (1 is the first)."""
        async with asyncio.timeout(within_s):
            while len(self.calls) < times:
                self._arrival.clear()
                await self._arrival.wait()
        return self.calls[times - 1]

    async def start(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/_control/{what}", self._control)
        app.router.add_get("/_control/calls", self._journal)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse connections until `start` is called again; open calls are cut."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        authorization = request.headers.get("Authorization", "")
        is_evaluation = "estimated_output_tokens" in json.dumps(body)
        call = Call(body, authorization, is_evaluation, time.monotonic())
        self.calls.append(call)
        self._arrival.set()
        try:
            return await self._answer(request, call)
        except (asyncio.CancelledError, ConnectionError):
            if not call.was_cut:
                call.client_left_after_s = time.monotonic() - call.began
            raise
        finally:
            call.ended.set()

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        refusal = self._refusal(call)
        if refusal is not None:
            return _whole(refusal, (refusal.body or "").encode())
        queue = self._verdicts if call.is_evaluation else self._work
        default = self.settings.verdict if call.is_evaluation else self.settings.work
        question = _BOUNDARY.sub("", json.dumps(call.body.get("messages")))
        if self.is_steady and question in self._given:
            answer = self._given[question]
        else:
            answer = queue.popleft() if queue else default
            if answer.status == HTTPStatus.OK and answer.stop is None:
                self._given[question] = answer
        if answer.body is not None:
            return _whole(answer, answer.body.encode())
        if call.body.get("stream"):
            return await self._stream(request, call, answer)
        return await _plain(request, call, answer)

    def _refusal(self, call: Call) -> Answer | None:
        """What the settings refuse, in OpenAI's words."""
        key = self.settings.api_key
        if key is not None and call.authorization != f"Bearer {key}":
            sent = call.authorization.removeprefix("Bearer ")
            message = f"Incorrect API key provided: {sent}."  # the real one echoes it, too
            return Fault.status(401, message=message, code="invalid_api_key")
        wanted = (call.body.get("response_format") or {}).get("type")
        if wanted in self.settings.refused_formats:
            return Fault.status(400, message=f"response_format {wanted} is not supported")
        if self.settings.wants_max_completion_tokens and "max_tokens" in call.body:
            return Fault.status(
                400,
                message="Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                param="max_tokens",
                code="unsupported_parameter",
            )
        return None

    async def _stream(self, request: web.Request, call: Call, answer: Answer) -> web.StreamResponse:
        if answer.stop in {"hang", "cut"} and answer.stop_after == 0:
            await _silent(request, call, answer)
        head = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        response = web.StreamResponse(status=answer.status, headers=head | dict(answer.headers))
        await response.prepare(request)
        is_usage_asked = bool((call.body.get("stream_options") or {}).get("include_usage"))
        usage = measured(call.body, answer) if is_usage_asked else None
        model = str(call.body.get("model"))
        for number, event in enumerate(events_of(answer, model, is_usage_asked)):
            if answer.stop is not None and number == answer.stop_after:
                return await self._stop(request, response, call, answer)
            if answer.every_s and number:
                await _waited(response, answer, answer.every_s)
            await response.write(event)
            call.count_piece()
        await response.write_eof(close_of(answer, model, usage))
        return response

    async def _stop(
        self, request: web.Request, response: web.StreamResponse, call: Call, answer: Answer
    ) -> web.StreamResponse:
        match answer.stop:
            case "malformed":
                await response.write_eof(b'data: {"id": "chatcmpl-sim", "choices": [{\n\n')
            case "error":
                error = {"error": {"message": "simulated", "code": 502}}
                await response.write_eof(f"data: {json.dumps(error)}\n\n".encode())
            case "hang":
                await _waited(response, answer, math.inf)
            case _:
                await _silent(request, call, answer)
        return response

    async def _models(self, request: web.Request) -> web.Response:
        key = self.settings.api_key
        if key is not None and request.headers.get("Authorization") != f"Bearer {key}":
            return web.json_response({"error": {"message": "no", "code": None}}, status=401)
        models = [{"id": name, "object": "model"} for name in self.settings.models]
        return web.json_response({"object": "list", "data": models})

    async def _control(self, request: web.Request) -> web.Response:
        """Steer a process: the same fields as `Answer` and `Settings`, as JSON."""
        body = await request.json() if request.can_read_body else {}
        match request.match_info["what"]:
            case "script":
                self.script(*map(Answer.from_json, body.get("work", [])))
                self.judge(*map(Answer.from_json, body.get("verdicts", [])))
            case "settings":
                for name in {"work", "verdict"} & body.keys():
                    body[name] = Answer.from_json(body[name])
                if "refused_formats" in body:
                    body["refused_formats"] = set(body["refused_formats"])
                self.settings = replace(self.settings, **body)
            case "reset":
                self.settings = Settings()
                self._work.clear()
                self._verdicts.clear()
                self.calls.clear()
            case _:
                raise web.HTTPNotFound
        return web.json_response({})

    async def _journal(self, _request: web.Request) -> web.Response:
        rows = [
            {
                "body": call.body,
                "isEvaluation": call.is_evaluation,
                "piecesSent": call.pieces_sent,
                "isOver": call.ended.is_set(),
                "clientLeftAfterS": call.client_left_after_s,
            }
            for call in self.calls
        ]
        return web.json_response(rows)


def _whole(answer: Answer, body: bytes) -> web.Response:
    return web.Response(
        status=answer.status,
        body=body,
        headers={"Content-Type": answer.content_type, **dict(answer.headers)},
    )


async def _plain(request: web.Request, call: Call, answer: Answer) -> web.StreamResponse:
    body = completion_of(answer, str(call.body.get("model")), measured(call.body, answer))
    if answer.every_s:
        await asyncio.sleep(answer.every_s)
    match answer.stop:
        case "malformed":
            body = body[: len(body) // 2]
        case "error":
            body = json.dumps({"error": {"message": "simulated"}}).encode()
        case "hang" | "cut" if answer.stop_after:
            response = web.StreamResponse(headers={"Content-Type": answer.content_type})
            response.content_length = len(body)
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            await _silent(request, call, answer)
        case "hang" | "cut":
            await _silent(request, call, answer)
    return _whole(answer, body)


async def _waited(response: web.StreamResponse, answer: Answer, seconds: float) -> None:
    """Wait so long in a stream, with comments if there shall be some."""
    pause = answer.keep_alive_s or min(seconds, 3_600)
    while seconds > 0:
        await asyncio.sleep(min(pause, seconds))
        seconds -= pause
        if seconds > 0:
            await response.write(b": keep-alive\n\n")


async def _silent(request: web.Request, call: Call, answer: Answer) -> None:
    """Send nothing more, with the connection open or cut, until the client has gone."""
    if answer.stop == "cut":
        call.was_cut = True
        assert request.transport is not None
        request.transport.close()
    await asyncio.Event().wait()


async def _serve(port: int) -> None:
    async with SimulatedModel(port=port) as model:
        sys.stdout.write(json.dumps({"url": model.url}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))
