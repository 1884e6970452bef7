"""Pages for people: the offer, the documentation, what each error means. They load nothing foreign.

Every page works without scripts but the documentation, whose scripts are our own files.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from aiohttp import web

from api.info import Bot, Bots, Info
from api.problems import KINDS
from api.route import HTML, JSON, AnyRoute, Call, Handler, Reply, Route, answer
from core.desk.answers import Answer

_STATIC: Final = Path(__file__).parent / "static"
_DOC_FILES: Final[Mapping[str, tuple[str, str]]] = {
    "swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger-ui/swagger-ui.css", "text/css"),
    "docs.js": ("docs.js", "text/javascript"),
}
_PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TAG: Final = "Pages"


@dataclass(frozen=True, slots=True)
class PageRoutes:
    """The pages, each made once; the first one anew when a bot's name becomes known."""

    info: Info
    bots: Bots
    home_html: Callable[[tuple[Bot, ...]], str]
    docs_html: str
    errors_html: str

    @classmethod
    def of(cls, info: Info, *, bots: Bots, url: str) -> "PageRoutes":
        """The pages about this offer; `url` is where customers reach the server."""
        return cls(
            info,
            bots,
            cache(lambda known: _page("Boltwork", _home(info, known, url))),
            (_STATIC / "docs.html").read_text(),
            _page("Boltwork: errors", _errors()),
        )

    def table(self) -> list[AnyRoute]:
        """Pages, and the offer as JSON."""
        return [
            _page_route("/", self.home, "What is for sale"),
            _page_route("/docs", self.docs, "This specification as a page"),
            _page_route("/docs/errors", self.errors, "What each error code means"),
            Route(
                method="GET",
                path="/info",
                handler=self.offer,
                summary="What is for sale, as JSON",
                tag=_TAG,
                replies=(Reply(200, "Models, prices, policies and limits.", Info),),
            ),
        ]

    async def home(self, _call: Call[None, None]) -> Answer:
        """Show what is for sale."""
        return _html(self.home_html(tuple(self.bots())), _PAGE_POLICY)

    async def docs(self, _call: Call[None, None]) -> Answer:
        """Show the specification."""
        return _html(self.docs_html, _DOCS_POLICY)

    async def errors(self, _call: Call[None, None]) -> Answer:
        """Say what each code means."""
        return _html(self.errors_html, _PAGE_POLICY)

    async def offer(self, _call: Call[None, None]) -> Answer:
        """Tell programs what is for sale."""
        return answer(self.info.model_copy(update={"bots": list(self.bots())}))


def openapi_route(document: bytes) -> AnyRoute:
    """The specification itself."""

    async def specify(_call: Call[None, None]) -> Answer:
        return Answer(200, {"Content-Type": JSON}, document)

    return Route(
        method="GET",
        path="/openapi.json",
        handler=specify,
        summary="This specification",
        tag=_TAG,
        replies=(Reply(200, "OpenAPI 3.1."),),
    )


async def send_doc_file(request: web.Request) -> web.StreamResponse:
    """A file that the documentation page loads. Raises HTTPNotFound."""
    known = _DOC_FILES.get(request.match_info["file"])
    if known is None:
        raise web.HTTPNotFound
    path, content_type = known
    headers = {"Content-Type": content_type, "Cache-Control": "public, max-age=86400"}
    return web.FileResponse(_STATIC / path, headers=headers)


def _page_route(path: str, handler: Handler[None, None], summary: str) -> AnyRoute:
    return Route(
        method="GET",
        path=path,
        handler=handler,
        summary=summary,
        tag=_TAG,
        replies=(Reply(200, "A page.", media_type=HTML),),
    )


def _html(page: str, policy: str) -> Answer:
    headers = {"Content-Type": f"{HTML}; charset=utf-8", "Content-Security-Policy": policy}
    return Answer(200, headers, page.encode())


def _page(title: str, content: str) -> str:
    page = Template((_STATIC / "page.html").read_text())
    return page.substitute(title=title, style=(_STATIC / "page.css").read_text(), content=content)


def _home(info: Info, bots: tuple[Bot, ...], url: str) -> str:
    prices, policies = info.prices, info.policies
    return Template((_STATIC / "home.html").read_text()).substitute(
        play_money=_PLAY_MONEY if info.is_play_money else "",
        eval_fee=_sats(prices.eval_fee_sats * 1000) if prices.eval_fee_sats else "nothing",
        on_reject=_ON_REJECT[policies.eval_fee_on_reject] if prices.eval_fee_sats else "",
        models="\n".join(
            f"<tr><td>{escape(model.id)}</td>"
            f'<td class="number">{_sats(model.input_msat_per_1k)}</td>'
            f'<td class="number">{_sats(model.output_msat_per_1k)}</td></tr>'
            for model in info.models
        ),
        base=_sats(prices.base_msat),
        min_sats=_sats(prices.min_sats * 1000),
        max_sats=_sats(prices.max_sats * 1000),
        invoice_expiry=_duration(policies.invoice_expiry_s),
        deadline=_duration(policies.deadline_s),
        demo=_DEMO.substitute(per_hour=info.demo.per_hour) if info.demo.enabled else "",
        bots=_bots(bots),
        url=escape(url),
        version=info.version,
        contact=f" &middot; Operator: {escape(info.contact)}" if info.contact else "",
    )


def _bots(bots: tuple[Bot, ...]) -> str:
    if not bots:
        return ""
    rows = "".join(
        f"<li>{bot.network.capitalize()}: <code>{escape(bot.name)}</code></li>" for bot in bots
    )
    return f"<h2>In a chat</h2><ul>{rows}</ul>"


def _errors() -> str:
    rows = "\n".join(
        f'<tr id="{code}"><td><code>{code.replace("_", "_<wbr>")}</code></td>'
        f'<td class="number">{kind.status}</td>'
        f"<td><b>{escape(kind.title)}.</b> {_as_code(escape(kind.remedy))}</td></tr>"
        for code, kind in KINDS.items()
    )
    return (
        "<h1>Errors</h1><p>Every refusal carries one of these words as <code>code</code>.</p>"
        '<div class="scroll"><table><tr><th>code</th><th class="number">status</th>'
        f"<th>what it means, what to do</th></tr>{rows}</table></div>"
    )


def _as_code(text: str) -> str:
    """The text with what stands between backticks marked as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", text)


def _sats(msat: int) -> str:
    whole, rest = divmod(msat, 1000)
    fraction = f".{rest:03d}".rstrip("0") if rest else ""
    return f"{whole:,}{fraction} sat"


def _duration(seconds: int) -> str:
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            count = seconds // length
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{seconds} seconds"


_PLAY_MONEY: Final = (
    '<p class="note">This is a development server. Its invoices are play money on regtest; no real'
    " wallet can pay them.</p>"
)
_ON_REJECT: Final = {
    "keep": "If the agent says no, the evaluation fee is kept: it paid for the look.",
    "return": "If the agent says no, the evaluation fee is owed back too.",
}
_DEMO: Final = Template(
    '<h2>Try it for free</h2><form action="demo"><label for="request">$per_hour requests an hour'
    " are free.</label>"
    '<textarea id="request" name="request" required maxlength="16000">'
    "Sort these names: Zoe, Adam, Mia.</textarea><p><button>Ask</button></p></form>"
)
