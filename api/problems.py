"""What a refusal looks like: one body for readers of RFC 9457 and for clients of OpenAI's API.

`code` is the word that programs compare; titles and sentences may change. Nothing here ever shows
an exception's text that was not written for the customer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson
from aiohttp import web

from core.values.errors import (
    BoltworkError,
    InvalidRequest,
    RateLimited,
    Unauthorized,
    Unavailable,
)

CONTENT_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """What one `code` means, to HTTP, to OpenAI's clients and to a person who looks it up."""

    status: int
    title: str
    openai_type: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong field; `pointer` is a JSON pointer, "" for the whole."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal, ready to be written down."""

    code: str
    detail: str
    faults: tuple[Fault, ...] = ()
    retry_after_s: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, object] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """The meaning of the code."""
        return KINDS[self.code]


class Refusal(Exception):
    """A refusal that only the HTTP face knows (media type, body size, key in use)."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class InvalidFields(InvalidRequest):
    """Several fields are wrong at once."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(faults[0].detail, pointer=faults[0].pointer)
        self.faults = faults


def problem_of(error: BoltworkError) -> Problem:
    """How the core's refusals and failures are told to a customer."""
    match error:
        case InvalidFields():
            return Problem(error.code, "Some fields are wrong.", faults=error.faults)
        case InvalidRequest():
            fault = Fault(error.pointer, error.detail)
            return Problem(error.code, error.detail, faults=(fault,))
        case Unauthorized():
            return Problem(error.code, error.detail, headers={"WWW-Authenticate": "Bearer"})
        case RateLimited() | Unavailable():
            return Problem(error.code, error.detail, retry_after_s=error.retry_after_s)
        case _:
            return Problem(error.code, error.detail)


def problem_of_http(error: web.HTTPException) -> Problem:
    """How aiohttp's own refusals are told, in the words of our codes."""
    match error:
        case web.HTTPNotFound():
            return Problem("not_found", "There is nothing here by that name.")
        case web.HTTPMethodNotAllowed():
            allow = ", ".join(sorted(error.allowed_methods))
            return Problem(
                "method_not_allowed",
                f"This address knows only {allow}.",
                headers={"Allow": allow},
            )
        case web.HTTPRequestEntityTooLarge():
            return Problem("body_too_large", "The body is too large.")
        case web.HTTPClientError():
            return Problem("invalid_request", "The request is not one that this server reads.")
        case _:
            return INTERNAL


def respond(problem: Problem, request_id: str) -> web.Response:
    """The answer that carries this problem."""
    kind = problem.kind
    # A challenge stands first: there are clients that read no further.
    headers = {**problem.headers, "Cache-Control": "no-store", "X-Request-Id": request_id}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    return web.Response(
        status=kind.status,
        body=orjson.dumps(_body(problem, kind, request_id)),
        content_type=CONTENT_TYPE,
        headers=headers,
    )


def _body(problem: Problem, kind: Kind, request_id: str) -> dict[str, object]:
    body: dict[str, object] = {
        "type": f"/docs/errors#{problem.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "code": problem.code,
        "requestId": request_id,
    }
    if problem.faults:
        body["errors"] = [
            {"pointer": fault.pointer, "detail": fault.detail} for fault in problem.faults
        ]
    body["error"] = {
        "message": problem.detail,
        "type": kind.openai_type,
        "code": problem.code,
        "param": _param(problem),
    }
    return {**body, **problem.members}


def _param(problem: Problem) -> str | None:
    pointer = problem.faults[0].pointer if problem.faults else ""
    return pointer.removeprefix("/") or None


_CALLER = "invalid_request_error"
_SERVER = "server_error"
_LATER = "Nothing was taken. Come back after the seconds in Retry-After."

KINDS: Final[Mapping[str, Kind]] = {
    "invalid_request": Kind(
        400, "Invalid request", _CALLER, "Correct the fields that `errors` points at."
    ),
    "unauthorized": Kind(
        401,
        "Credential missing or not valid",
        "authentication_error",
        "Send the token as `Authorization: Bearer TOKEN` or `X-Api-Key: TOKEN`.",
    ),
    "payment_required": Kind(
        402, "Payment required", "insufficient_quota", "Pay the invoice and ask again."
    ),
    "insufficient_balance": Kind(
        402, "Insufficient balance", "insufficient_quota", "Pay the invoice and ask again."
    ),
    "forbidden": Kind(
        403,
        "The credential does not allow this",
        "permission_error",
        "The limits stand in the token itself; paying changes nothing.",
    ),
    "not_found": Kind(
        404, "Not found", _CALLER, "It does not exist, or the credential is not for it."
    ),
    "method_not_allowed": Kind(405, "Method not allowed", _CALLER, "See the header Allow."),
    "request_in_progress": Kind(
        409,
        "The first request with this key still runs",
        _CALLER,
        "Ask again after the seconds in Retry-After; you will get the first request's answer.",
    ),
    "wrong_state": Kind(
        409, "Not in this state", _CALLER, "Read the job or session to see where it stands."
    ),
    "body_too_large": Kind(413, "Body too large", _CALLER, "Send less."),
    "unsupported_media_type": Kind(
        415, "Unsupported media type", _CALLER, "Send JSON with `Content-Type: application/json`."
    ),
    "idempotency_key_reused": Kind(
        422,
        "The key belongs to another request",
        _CALLER,
        "A new request needs a new Idempotency-Key.",
    ),
    "price_above_maximum": Kind(
        422, "The price is above your maximum", _CALLER, "Raise maxPriceSats, or leave it out."
    ),
    "rate_limited": Kind(429, "Too many requests", "rate_limit_error", _LATER),
    "internal": Kind(
        500, "Internal error", _SERVER, "Our mistake. Tell the operator the request id."
    ),
    "model_failed": Kind(502, "The model failed", _SERVER, "Nothing was charged. Try again."),
    "wallet_unavailable": Kind(503, "The wallet cannot serve now", _SERVER, _LATER),
    "model_unavailable": Kind(503, "The model cannot serve now", _SERVER, _LATER),
    "database_unavailable": Kind(503, "The database cannot serve now", _SERVER, _LATER),
    "queue_full": Kind(503, "The queue is full", _SERVER, _LATER),
    "paused": Kind(503, "The operator has paused this service", _SERVER, _LATER),
    "shutting_down": Kind(503, "The server is shutting down", _SERVER, _LATER),
}

INTERNAL: Final = Problem("internal", "Something went wrong on our side.")
