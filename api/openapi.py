"""The document at /openapi.json: OpenAPI 3.1, made from the routes and from nothing else."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.models import Problem
from api.problems import CONTENT_TYPE, KINDS
from api.route import JSON, AnyRoute, Auth, Reply

Document = dict[str, Any]

_REF: Final = "#/components/schemas/{model}"
_CROCKFORD: Final = "[0-9A-HJKMNP-TV-Z]{26}"
_PATH_SCHEMAS: Final[Mapping[str, Document]] = {
    "jobId": {"type": "string", "pattern": f"^job_{_CROCKFORD}$"},
    "sessionId": {"type": "string", "pattern": f"^(ses_{_CROCKFORD}|me)$"},
    "refundId": {"type": "string", "pattern": f"^rfd_{_CROCKFORD}$"},
    "tokenId": {"type": "string", "pattern": f"^tok_{_CROCKFORD}$"},
    "linkId": {"type": "string", "pattern": f"^lnk_{_CROCKFORD}$"},
    "paymentHash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "secret": {"type": "string"},
    "payToken": {"type": "string", "pattern": "^[A-Za-z0-9_-]{64}$"},
    "k1": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
# Two more than a key may have: it may stand in quotes.
_KEY_SCHEMA: Final = {"type": "string", "pattern": "^[!-~]{1,257}$"}
_ANONYMOUS_KEY_SCHEMA: Final = {"type": "string", "pattern": "^[!-~]{16,257}$"}
_HEADER_SCHEMAS: Final[Mapping[str, Document]] = {
    "Idempotency-Key": _KEY_SCHEMA,
    "Accept-Language": {"type": "string"},
    "Last-Event-ID": {"type": "string", "pattern": "^[0-9]{1,15}$"},
    "X-Telegram-Bot-Api-Secret-Token": {"type": "string"},
}
_KEY_HELP: Final = (
    "The same request again under the same key is answered with the first answer for 24 hours. "
    "1 to 255 visible ASCII characters, bare or quoted; at least 16 without a credential."
)


def describe(
    routes: Sequence[AnyRoute], *, version: str, server_url: str, description: str
) -> Document:
    """The document of these routes."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Boltwork", "version": version, "description": description},
        "servers": [{"url": server_url}],
        "paths": _paths(routes),
        "components": {
            "schemas": _schemas(routes),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A job's token or a session's token, a macaroon.",
                },
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
        },
    }


def _paths(routes: Iterable[AnyRoute]) -> Document:
    paths: defaultdict[str, Document] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route)
    return dict(paths)


def _operation(route: AnyRoute) -> Document:
    operation: Document = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [route.tag],
        "responses": _replies(route) | _problems(route),
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.method == "POST":
        operation["requestBody"] = _request_body(route)
    credentials: list[Document] = [{"bearer": []}, {"apiKey": []}]
    match route.auth:
        case Auth.NEEDED:
            operation["security"] = credentials
        case Auth.LOOKED_AT | Auth.CHALLENGED:
            operation["security"] = [{}, *credentials]
        case Auth.IGNORED:
            operation["security"] = []
    return operation


def _operation_id(route: AnyRoute) -> str:
    steps = [step.strip("{}").capitalize() for step in route.path.replace(".", "/").split("/")]
    return route.method.lower() + "".join(steps)


def _parameters(route: AnyRoute) -> list[Document]:
    parameters: list[Document] = [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[name]}
        for step in route.path.split("/")
        if step.startswith("{") and (name := step.strip("{}"))
    ]
    if route.query is not None:
        schema = _clean(cast("type[BaseModel]", route.query).model_json_schema())
        for name, field in schema["properties"].items():
            is_required = name in schema.get("required", [])
            parameters.append(
                {"name": name, "in": "query", "required": is_required, "schema": _present(field)}
            )
    parameters.extend(
        {"name": name, "in": "header", "description": says, "schema": _HEADER_SCHEMAS[name]}
        for name, says in route.request_headers.items()
    )
    if route.is_keyed:
        schema = _KEY_SCHEMA if route.auth is Auth.NEEDED else _ANONYMOUS_KEY_SCHEMA
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": _KEY_HELP,
                "schema": schema,
            }
        )
    return parameters


def _request_body(route: AnyRoute) -> Document:
    if route.body is None:
        schema: Document = {"type": "object", "additionalProperties": False}
        return {"required": False, "content": {JSON: {"schema": schema}}}
    return {"required": True, "content": {JSON: {"schema": _ref(route.body)}}}


def _replies(route: AnyRoute) -> Document:
    described: Document = {}
    for reply in route.replies:
        first = described.setdefault(str(reply.status), _reply(reply))
        first["content"] |= _reply(reply)["content"]  # one status may have several media types
    return described


def _reply(reply: Reply) -> Document:
    match reply.model:
        case None:
            schema: Document = {"type": "string"}
        case tuple():
            schema = {"anyOf": [_ref(model) for model in reply.model]}
        case _:
            schema = _ref(reply.model)
    described: Document = {
        "description": reply.summary,
        "content": {reply.media_type: {"schema": schema}},
    }
    if reply.headers:
        described["headers"] = {
            name: {"description": says, "schema": {"type": "string"}}
            for name, says in reply.headers.items()
        }
    return described


def _problems(route: AnyRoute) -> Document:
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in sorted(route.all_problems):
        by_status[KINDS[code].status].append(code)
    return {
        str(status): {
            "description": ", ".join(f"`{code}`: {KINDS[code].title}" for code in codes),
            "content": {CONTENT_TYPE: {"schema": _ref(Problem)}},
        }
        for status, codes in sorted(by_status.items())
    }


def _schemas(routes: Iterable[AnyRoute]) -> Document:
    modes: dict[type[BaseModel], Literal["validation", "serialization"]] = {
        Problem: "serialization"
    }
    for route in routes:
        if route.body is not None:
            modes[route.body] = "validation"
        for reply in route.replies:
            models = reply.model if isinstance(reply.model, tuple) else (reply.model,)
            modes |= {model: "serialization" for model in models if model is not None}
    _, document = models_json_schema(list(modes.items()), ref_template=_REF)
    return cast("Document", _clean(document["$defs"]))


def _ref(model: type[BaseModel]) -> Document:
    return {"$ref": _REF.format(model=model.__name__)}


def _present(schema: Document) -> Document:
    """The schema of a query parameter where it is given: there is no way to spell null."""
    variants = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    rest = {name: part for name, part in schema.items() if name not in {"anyOf", "default"}}
    return {**rest, **variants[0]} if variants else schema


def _clean(schema: Any) -> Any:
    """The schema without the titles that pydantic makes up from names."""
    match schema:
        case dict():
            return {
                name: _clean(part)
                for name, part in schema.items()
                if name != "title" or not isinstance(part, str)
            }
        case list():
            return [_clean(part) for part in schema]
        case _:
            return schema
