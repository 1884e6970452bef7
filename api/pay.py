"""The page of one invoice over HTTP, for whoever has its link, and how it learns of the payment."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, Final

from aiohttp import hdrs
from pydantic import Field

from api.info import Bots, Info
from api.models import Incoming, Outgoing, WaitSeconds
from api.patience import unless_stopped
from api.pay_page import PayPage, line_of
from api.route import HTML, AnyRoute, Call, Reply, Route, answer
from core.books.invoices import Status
from core.desk.answers import Answer
from core.desk.pay_desk import PayDesk
from core.values.errors import NotFound
from core.values.texts import SOURCE, read

LANGUAGES: Final = ("en", "de")

_TAG: Final = "Pages"


class PayWait(Incoming):
    """How long to wait for an invoice to change."""

    wait: WaitSeconds = Field(default=0, description="Seconds to wait for a change.")
    status: Status = Field(
        default="open", description="Answer as soon as the status is another than this."
    )


class PayStatus(Outgoing):
    """How an invoice stands."""

    status: Status


@dataclass(frozen=True, slots=True)
class PayRoutes:
    """The routes under /pay."""

    desk: PayDesk
    page: PayPage
    bots: Bots
    stopping: asyncio.Event

    @classmethod
    def of(cls, desk: PayDesk, info: Info, *, bots: Bots, stopping: asyncio.Event) -> "PayRoutes":
        """The routes that show the invoices of this desk."""
        words = read(files("api") / "texts", LANGUAGES)
        return cls(desk, PayPage.of(words, info), bots, stopping)

    def table(self) -> list[AnyRoute]:
        """The page, and how it learns of a payment."""
        return [
            Route(
                method="GET",
                path="/pay/{payToken}",
                handler=self.show,
                summary="A page that shows an invoice, for the payer",
                tag=_TAG,
                request_headers={hdrs.ACCEPT_LANGUAGE: "English or German."},
                replies=(
                    Reply(200, "A page.", media_type=HTML),
                    Reply(404, "A page that says that there is no such invoice.", media_type=HTML),
                ),
                problems=("database_unavailable",),
            ),
            Route(
                method="GET",
                path="/pay/{payToken}/status",
                handler=self.tell,
                summary="How the invoice of a pay page stands, now or once it has changed",
                tag=_TAG,
                query=PayWait,
                replies=(Reply(200, "Its status.", PayStatus),),
                problems=("not_found", "database_unavailable"),
            ),
        ]

    async def show(self, call: Call[None, None]) -> Answer:
        """Show an invoice."""
        lang = language_of(call.request.headers.get(hdrs.ACCEPT_LANGUAGE, ""), LANGUAGES)
        page = replace(self.page, bots=line_of(self.bots()))
        try:
            invoice = await self.desk.invoice(_token(call))
        except NotFound:
            return self._html(page.unknown(lang), lang, status=404)
        shown = page.show(invoice, lang, now_ms=self.desk.clock.now_ms())
        return self._html(shown, lang, status=200)

    async def tell(self, call: Call[None, PayWait]) -> Answer:
        """Tell the status, at once or when it has changed."""
        token = _token(call)
        invoice = await self.desk.invoice(token)
        query = call.query()
        if query.wait:
            waiting = self.desk.wait(token, status=query.status, wait_s=query.wait)
            invoice = await unless_stopped(waiting, self.stopping) or invoice
        return answer(PayStatus(status=invoice.status(self.desk.clock.now_ms())))

    def _html(self, page: str, lang: str, *, status: int) -> Answer:
        headers = {
            "Content-Type": f"{HTML}; charset=utf-8",
            "Content-Language": lang,
            "Content-Security-Policy": self.page.policy,
            "X-Robots-Tag": "noindex, nofollow",
        }
        return Answer(status, headers, page.encode())


def language_of(accepted: str, languages: Sequence[str]) -> str:
    """The language that an Accept-Language field likes best (RFC 9110, 12.5.4), else English."""
    liked = []
    for part in accepted.split(","):
        tag, _, weight = part.partition(";")
        liked.append((_quality(weight), tag.strip().partition("-")[0].lower()))
    liked.sort(key=lambda each: -each[0])  # stable: of equals, the first
    return next((lang for quality, lang in liked if quality > 0 and lang in languages), SOURCE)


def _quality(weight: str) -> float:
    if not weight:
        return 1.0
    name, _, value = weight.strip().partition("=")
    digits = value.replace(".", "", 1)
    is_number = name.strip() == "q" and digits.isascii() and digits.isdigit()
    return float(value) if is_number else 0.0


def _token(call: Call[Any, Any]) -> str:
    return call.request.match_info["payToken"]
