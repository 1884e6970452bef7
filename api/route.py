"""A route as one value: the server is built from these, and so is the document about it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, Generic, Literal, TypeVar, cast

from aiohttp import web
from pydantic import BaseModel

from api.edge import CLIENT
from api.models import Outgoing
from api.receive import BODY_BYTES_MAX, fields_of, query_of, refuse_fields
from core.books.credentials import Bearer
from core.books.idempotency import Receipt
from core.desk.answers import Answer, KeptAnswer
from core.values.errors import NotFound, Unauthorized
from core.values.ids import Kind, is_id

B = TypeVar("B")
Q = TypeVar("Q")
R = TypeVar("R")

JSON: Final = "application/json"
HTML: Final = "text/html"
EVENTS: Final = "text/event-stream"


class Auth(Enum):
    """What a route does with a credential."""

    IGNORED = auto()
    LOOKED_AT = auto()  # a bad one counts as absent
    NEEDED = auto()
    CHALLENGED = auto()  # the handler asks for it, after the body; its absence is a 402


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """One request to one route. Fields are read when the handler asks for them, not before.

    The contract wants it so: whether the thing exists and may be touched (404, 403) is answered
    before whether the fields are right (400).
    """

    request: web.Request
    raw_body: bytes = field(repr=False)
    bearer: Bearer | None
    body_model: type[B] | None
    query_model: type[Q] | None
    receipt: Receipt | None = None

    @property
    def client(self) -> str:
        """Whose limits this counts against."""
        return self.request[CLIENT]

    @property
    def needed_bearer(self) -> Bearer:
        """The bearer of the verified token, on a route that needs one."""
        if self.bearer is None:
            raise Unauthorized("This needs a credential.")
        return self.bearer

    def path_id(self, name: str, kind: Kind) -> str:
        """An id in the path. Raises NotFound for what has not the shape of one."""
        text = self.request.match_info[name]
        if not is_id(kind, text):
            raise NotFound
        return text

    def body(self) -> B:
        """The body's fields, or that there are none. Raises InvalidRequest."""
        if self.body_model is None:
            refuse_fields(self.raw_body, self.request.charset)
            return cast("B", None)
        model = cast("type[BaseModel]", self.body_model)
        return cast("B", fields_of(model, self.raw_body, self.request.charset))

    def query(self) -> Q:
        """The query's fields. Raises InvalidRequest."""
        if self.query_model is None:
            return cast("Q", None)
        model = cast("type[BaseModel]", self.query_model)
        return cast("Q", query_of(model, self.request.query))

    def keep(self, render: Callable[[R], Answer]) -> KeptAnswer[R] | None:
        """How the core is to keep the answer under the caller's key, if the caller gave one."""
        return None if self.receipt is None else KeptAnswer(self.receipt, render)


Handler = Callable[[Call[B, Q]], Awaitable[Answer | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Reply:
    """One good answer of a route, for the document."""

    status: int
    summary: str
    model: type[Outgoing] | tuple[type[Outgoing], ...] | None = None  # one of them
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)  # name: what it says


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[B, Q]):
    """What is served under one method and path, and everything that can be answered there."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Handler[B, Q]
    summary: str
    tag: str
    replies: tuple[Reply, ...]
    problems: tuple[str, ...] = ()
    body: type[B] | None = None
    query: type[Q] | None = None
    auth: Auth = Auth.IGNORED
    is_keyed: bool = False
    request_headers: Mapping[str, str] = field(default_factory=dict)
    body_bytes_max: int = BODY_BYTES_MAX
    has_effect: bool = False  # a GET that does something, so that HEAD is none of it

    @property
    def is_stream(self) -> bool:
        """Whether the answer has no end that is known beforehand."""
        return any(reply.media_type == EVENTS for reply in self.replies)

    @property
    def all_problems(self) -> frozenset[str]:
        """Every code that can be answered here, those of the pipeline included."""
        codes = {*self.problems, "rate_limited", "body_too_large", "internal", "invalid_request"}
        if self.method == "POST":
            codes.add("unsupported_media_type")
        if self.auth is Auth.NEEDED:
            codes.add("unauthorized")
        if self.is_keyed:
            codes |= {"request_in_progress", "idempotency_key_reused"}
        return frozenset(codes)


AnyRoute = Route[Any, Any]


def answer(model: Outgoing, status: int = 200, **headers: str) -> Answer:
    """The answer that carries this model."""
    return Answer(status, {"Content-Type": JSON, **headers}, model.to_json())


def page(html: str) -> Answer:
    """The answer that is a page."""
    return Answer(200, {"Content-Type": f"{HTML}; charset=utf-8"}, html.encode())
