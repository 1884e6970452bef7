"""Reading what a request carries: its body within bounds, then its fields into models."""

import asyncio
from contextlib import nullcontext
from typing import Final, TypeVar

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError
from multidict import MultiMapping
from pydantic import BaseModel, ValidationError

from api.edge import ClientGone
from api.json_strict import decode, pointer_to, refuse_unsafe_text
from api.models import Incoming
from api.problems import Fault, InvalidFields, Problem, Refusal
from core.values.errors import InvalidRequest

BODY_BYTES_MAX: Final = 64 * 1024
BODY_S: Final = 20.0
FAULTS_MAX: Final = 20  # a small body can be wrong in thousands of places


class NoFields(Incoming):
    """An empty object."""


M = TypeVar("M", bound=BaseModel)


async def read_body(request: web.Request, bytes_max: int, *, within_s: float = BODY_S) -> bytes:
    """The whole body. Raises Refusal (413, 415), InvalidRequest, or ClientGone when too slow."""
    if (request.content_length or 0) > bytes_max:
        raise _too_large(bytes_max)
    body, content = bytearray(), request.content
    # What has come with its head, as nearly every body has, is not waited for and needs no clock.
    clock = nullcontext() if content.is_eof() else asyncio.timeout(within_s)
    try:
        async with clock:
            while not content.at_eof():
                body.extend(await content.readany())
                if len(body) > bytes_max:
                    raise _too_large(bytes_max)
    except (ConnectionError, TimeoutError):
        raise ClientGone from None
    except (RequestPayloadError, HttpProcessingError):
        raise InvalidRequest("The body is not what its headers say.") from None
    if body and request.method == hdrs.METH_POST and request.content_type != "application/json":
        raise Refusal(
            Problem("unsupported_media_type", "The body must be JSON (application/json).")
        )
    return bytes(body)


def fields_of(model: type[M], raw: bytes, charset: str | None) -> M:
    """The body as a model. Raises InvalidRequest or InvalidFields."""
    if charset is not None and charset.lower() not in {"utf-8", "utf8"}:
        raise InvalidRequest("JSON is UTF-8; no other charset is read.")
    return _validate(model, decode(raw))


def refuse_fields(raw: bytes, charset: str | None) -> None:
    """For a route without fields: no body, or an empty object. Raises InvalidRequest."""
    if raw:
        fields_of(NoFields, raw, charset)


def query_of(model: type[M], query: MultiMapping[str]) -> M:
    """The query as a model; parameters that it does not know are nobody's business."""
    fields: dict[str, str] = {}
    for name in {field.alias or name for name, field in model.model_fields.items()}:
        values = query.getall(name, [])
        if len(values) > 1:
            raise InvalidRequest(f"{name} stands more than once.", pointer=pointer_to(name))
        for value in values:
            refuse_unsafe_text(value, pointer_to(name))
            fields[name] = value
    return _validate(model, fields)


def _validate(model: type[M], value: object) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    told = [Fault(pointer_to(*each["loc"]), each["msg"]) for each in faults[:FAULTS_MAX]]
    raise InvalidFields(tuple(told))


def _too_large(bytes_max: int) -> Refusal:
    return Refusal(Problem("body_too_large", f"A body may hold {bytes_max} bytes."))
