"""The page of one invoice as HTML, in all its states and in two languages.

It says what is to be paid and to whom, never what for in the customer's words. It loads nothing:
style and script stand in it and are allowed by their hashes (Content Security Policy Level 3).
Without scripts it shows the same and comes again every few seconds.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Final, get_args

from api.info import Bot, Info
from core.books.invoices import Invoice, Status
from core.values.clock import rfc3339
from core.values.qr import QUIET_ZONE, invoice_code
from core.values.texts import Catalogue, charged_sats

_STATIC: Final = Path(__file__).parent / "static"
_COME_AGAIN: Final = '<noscript><meta http-equiv="refresh" content="3"></noscript>'


@dataclass(frozen=True, slots=True)
class PayPage:
    """Renders invoices; what never changes is read once."""

    words: Catalogue
    name: str
    bots: str
    is_play_money: bool
    frame: Template
    invoice: Template
    style: str
    script: str

    @classmethod
    def of(cls, words: Catalogue, info: Info) -> "PayPage":
        """The page of this service."""
        return cls(
            words=words,
            name=escape(info.name),
            bots=line_of(info.bots),
            is_play_money=info.is_play_money,
            frame=Template((_STATIC / "pay.html").read_text()),
            invoice=Template((_STATIC / "pay-invoice.html").read_text()),
            style=(_STATIC / "pay.css").read_text(),
            script=(_STATIC / "pay.js").read_text(),
        )

    @property
    def policy(self) -> str:
        """What a browser may do with the page: nothing foreign, nothing that is not ours."""
        return (
            f"default-src 'none'; style-src '{_hash(self.style)}'; script-src"
            f" '{_hash(self.script)}'; connect-src 'self'; img-src data:; base-uri 'none';"
            " form-action 'none'; frame-ancestors 'none'"
        )

    def show(self, invoice: Invoice, lang: str, *, now_ms: int) -> str:
        """The page of an invoice as it stands now."""
        status = invoice.status(now_ms)
        titles = self._titles(invoice, lang)
        content = self.invoice.substitute(
            self._facts(invoice, lang, now_ms=now_ms),
            **{f"title_{each}": title for each, title in titles.items()},
            **{f"hidden_{each}": "" if each == status else " hidden" for each in titles},
        )
        return self._framed(
            lang,
            title=titles[status],
            content=content,
            refresh="" if status == "paid" else _COME_AGAIN,
            script=f"<script>{self.script}</script>",
        )

    def unknown(self, lang: str) -> str:
        """The one page of all addresses that lead nowhere."""
        head, text = (self._say(lang, f"unknown.{part}") for part in ("head", "text"))
        return self._framed(
            lang,
            title=self._say(lang, "unknown.title", name=self.name),
            content=f'<h1>{head}</h1><p class="text">{text}</p>',
            refresh="",
            script="",
        )

    def _facts(self, invoice: Invoice, lang: str, *, now_ms: int) -> Mapping[str, object]:
        moment = rfc3339(invoice.expires_at_ms)
        note = self._say(lang, "open.play_money") if self.is_play_money else ""
        return {
            "purpose": self._say(lang, f"purpose.{invoice.purpose}"),
            "amount": charged_sats(invoice.amount, lang),
            "status": invoice.status(now_ms),
            "qr": _qr(invoice.bolt11),
            "payment_request": escape(invoice.bolt11),
            "left_ms": max(0, invoice.expires_at_ms - now_ms),
            "until": self._say(lang, "open.until", moment=f"{moment[:10]} {moment[11:16]}"),
            "play_money": f'<p class="note">{note}</p>' if note else "",
            "text_paid": self._say(lang, "paid.text"),
            "head_expired": self._say(lang, "expired.head"),
            "text_expired": self._say(lang, "expired.text"),
            **{part: self._say(lang, f"open.{part}") for part in _OPEN_PARTS},
        }

    def _titles(self, invoice: Invoice, lang: str) -> dict[Status, str]:
        amount = charged_sats(invoice.amount, lang)
        return {
            each: self._say(lang, f"{each}.title", amount=amount, name=self.name)
            for each in get_args(Status)
        }

    def _framed(self, lang: str, *, title: str, content: str, refresh: str, script: str) -> str:
        return self.frame.substitute(
            lang=lang,
            title=title,
            name=self.name,
            style=self.style,
            refresh=refresh,
            content=content,
            bots=self.bots,
            script=script,
        )

    def _say(self, lang: str, key: str, **values: str) -> str:
        return self.words.say(key, lang, **values)


_OPEN_PARTS: Final = ("scan", "wallet", "copy", "copied", "waiting")


def _qr(payment_request: str) -> str:
    code = invoice_code(payment_request)
    # Dark on white in every colour scheme: many wallets read no inverted codes.
    return code.svg_inline(border=QUIET_ZONE, omitsize=True, svgclass=None, lineclass=None)


def line_of(bots: Sequence[Bot]) -> str:
    """Where the same service is found in a chat, for the foot of the page."""
    return " &middot; ".join(_bot(bot) for bot in bots)


def _bot(bot: Bot) -> str:
    name = escape(bot.name)
    match bot.network:
        case "telegram":
            handle = escape(bot.name.removeprefix("@"), quote=True)
            return f'Telegram: <a href="https://t.me/{handle}" rel="noreferrer">{name}</a>'
        case "nostr":
            return f"Nostr: {name}"


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
