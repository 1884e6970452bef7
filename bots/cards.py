"""Cards: what is shown of a request, from what the books say of it. Pure.

Each request has a card for its check and one for its price, and then its result. What a card shows
follows from the state alone, so that drawing it again is no change.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

from bots.scene import Place, Shop, Voice
from core.books.jobs import Job
from core.books.requests import PersonBill, Request
from core.values.mail import Bill, Button, Letter, Link, Note, Result, Row
from core.values.money import MSAT_PER_SAT, Msat, from_sats

TITLE_LENGTH = 60  # of a request, wherever it is quoted
TOKENS_PER_MINUTE = 1_500
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Payable:
    """An invoice, and the page that shows it, where the public has a way to us."""

    bill: PersonBill
    url: str | None


@dataclass(frozen=True, slots=True)
class Cards:
    """Draws the cards of one request in one language, for where it was asked."""

    shop: Shop
    voice: Voice
    place: Place
    request: Request
    version: int  # of the buttons

    def check(self, payable: Payable) -> Letter:
        """The first card: pay this to have the request checked."""
        say, code, bill = self.voice.say, self.request.code, payable.bill
        minutes = self.shop.invoice_expiry_s // 60
        if bill.kind == "once":
            text = say(
                "check.once_card",
                code=code,
                amount=self.voice.costs(bill.amount),
                invoice="{invoice}",
                minutes=minutes,
            )
            return self._bill("check", text, payable, (self._button("cancel"),), "")
        text = say(
            "check.card",
            code=code,
            amount=self.voice.costs(bill.amount),
            invoice="{invoice}",
            minutes=minutes,
        )
        hint = say("hint.cancel")
        own = [self._button("cancel")]
        if self.shop.pay_once_sats and from_sats(self.shop.pay_once_sats) > self.shop.check_fee:
            most = self.voice.sat(self.shop.pay_once_sats)
            own.insert(0, self._button("once", max=most))
            hint = f"{say('hint.once', max=most)}  {hint}"
        return self._bill("check", text, payable, tuple(own), hint)

    def checking(self, paid: Msat | None) -> Letter:
        """The check is paid, by this invoice or from the balance."""
        if paid is None:
            return self._passing("check", self.voice.say("card.checking", code=self.request.code))
        amount = self.voice.costs(paid)
        text = self.voice.say("card.paid_checking", amount=amount, code=self.request.code)
        return self._passing("check", text, is_settled=True)

    def checking_free(self, left: Msat) -> Letter:
        """The check was paid from the balance."""
        text = self.voice.say(
            "check.free",
            code=self.request.code,
            amount=self.voice.costs(self.shop.check_fee),
            balance=self.voice.has(left),
        )
        return self._passing("check", text)

    def check_expired(self) -> Letter:
        """The invoice of the check ran out; the request still waits."""
        text = self.voice.say("card.expired", code=self.request.code)
        return self._expired("check", text)

    def price_expired(self) -> Letter:
        """The invoice of the price ran out; the price still stands."""
        text = self.voice.say("card.expired", code=self.request.code)
        return self._expired("price", text)

    def price(self, job: Job, payable: Payable, *, balance: Msat) -> Letter:
        """The price, and the invoice that starts the work."""
        price, bill = price_of(job), payable.bill
        values = {**self._offer(job), "invoice": "{invoice}", "until": self._until(job)}
        if bill.amount < price:
            text = self.voice.say(
                "price.part",
                **values,
                balance=self.voice.has(balance),
                missing=self.voice.costs(bill.amount),
            )
        else:
            text = self.voice.say("price.card", **values)
        hint = self.voice.say("hint.price_no")
        return self._bill("price", text, payable, (self._button("no"),), hint)

    def price_from_balance(self, job: Job, *, balance: Msat) -> Letter:
        """The price, where the balance covers it: one press starts the work."""
        text = self.voice.say("price.balance", **self._offer(job), balance=self.voice.has(balance))
        amount = self.voice.costs(price_of(job))
        buttons = ((self._button("do_it", amount=amount), self._button("no")),)
        note = Note(text, buttons=buttons, hint=self.voice.say("hint.price"))
        return self.place.letter(note, slot=self._slot("price"))

    def working(self, job: Job, paid: Msat | None) -> Letter:
        """The price is paid, by this invoice or from the balance."""
        if paid is None:
            return self._passing("price", self.voice.say("card.working", code=self.request.code))
        text = self.voice.say(
            "card.paid_working",
            amount=self.voice.costs(paid),
            code=self.request.code,
            eta=self.eta(job),
        )
        return self._passing("price", text, is_settled=True)

    def started(self, job: Job, *, limit_sats: int, left: Msat) -> Letter:
        """The work started by itself, under the person's limit."""
        text = self.voice.say(
            "price.auto",
            code=self.request.code,
            amount=self.voice.costs(price_of(job)),
            limit=self.voice.sat(limit_sats),
            balance=self.voice.has(left),
        )
        return self._passing("price", text)

    def given_up(self) -> Letter:
        """Nobody paid for the check; that its invoice ran out was told before."""
        return self._passing("check", self.voice.say("card.price_ended", code=self.request.code))

    def below(self) -> Letter:
        """The invoice that could not be made at first has come."""
        return self._passing("down", self.voice.say("card.below"))

    def closed(self, slot: str, key: str) -> Letter:
        """A card that leads nowhere any more."""
        note = Note(self.voice.say(key, code=self.request.code))
        return self.place.redrawn(note, self._slot(slot))

    def result(self, job: Job, *, left: Msat | None) -> Letter:
        """The result; with what is left where the person paid ahead."""
        total = self.voice.costs(Msat(self.shop.check_fee + price_of(job)))
        code = self.request.code
        if left is None:
            foot = self.voice.say("job.result_foot", code=code, total=total)
        else:
            balance = self.voice.has(left)
            foot = self.voice.say("job.result_foot_left", code=code, total=total, balance=balance)
        text = job.result or ""
        pages = ceil(len(text) / 3_000)
        result = Result(
            text,
            name=f"{code}-result",
            head=self.voice.say("job.result_head", code=code),
            foot=foot,
            file_note=self.voice.say("job.result_file", code=code, pages=pages),
            buttons=((self._button("again"), self._button("chat_more")),),
        )
        return self.place.letter(result, slot=self.result_slot)

    @property
    def result_slot(self) -> str:
        """Where the result stands."""
        return self._slot("result")

    def eta(self, job: Job) -> str:
        """How long the work takes, about."""
        assert job.quote is not None, "work has a quote"
        return self.voice.say(
            "time.minutes", n=max(1, ceil(job.quote.output_tokens / TOKENS_PER_MINUTE))
        )

    def _offer(self, job: Job) -> dict[str, str]:
        assert job.quote is not None, "a price is quoted"
        return {
            "code": self.request.code,
            "summary": job.quote.summary or title(self.request.text),
            "amount": self.voice.costs(price_of(job)),
            "eta": self.eta(job),
        }

    def _until(self, job: Job) -> str:
        assert job.quote is not None, "a price is quoted"
        return moment(self.voice, job.quote.expires_at_ms, now_ms=job.updated_at_ms)

    def _button(self, name: str, **values: object) -> Button:
        label = self.voice.say(f"btn.{name}", **values)
        return Button(label, name, self.request.code, self.version)

    def _slot(self, name: str) -> str:
        return f"{self.request.code}:{name}"

    def _passing(self, slot: str, text: str, *, is_settled: bool = False) -> Letter:
        return self.place.passing(Note(text, is_settled=is_settled), self._slot(slot))

    def _expired(self, slot: str, text: str) -> Letter:
        buttons: tuple[Row, ...] = ((self._button("new_invoice"), self._button("cancel")),)
        hint = self.voice.say("hint.new_invoice", code=self.request.code)
        return self.place.redrawn(Note(text, buttons=buttons, hint=hint), self._slot(slot))

    def _bill(
        self, slot: str, text: str, payable: Payable, own: tuple[Button, ...], hint: str
    ) -> Letter:
        return self.place.letter(
            bill_of(self.voice, text, payable, own, hint), slot=self._slot(slot)
        )


def bill_of(voice: Voice, text: str, payable: Payable, own: tuple[Button, ...], hint: str) -> Bill:
    """A text with an invoice; the way to the wallet comes before its other buttons."""
    return Bill(
        text,
        payable.bill.bolt11,
        payable.url,
        buttons=with_wallet(voice, payable.url, own),
        hint=f"{voice.say('nostr.bill')}\n{hint}".strip(),
    )


def withdraw_button(voice: Voice) -> Button:
    """Leads to taking money out."""
    return Button(voice.say("btn.withdraw"), "withdraw", "")


def with_wallet(voice: Voice, pay_url: str | None, own: tuple[Button, ...]) -> tuple[Row, ...]:
    """The rows under an invoice: the way to the wallet first, where there is one."""
    rows: list[Row] = []
    if pay_url is not None:
        rows.append((Link(voice.say("btn.open_wallet"), pay_url),))
    if own:
        rows.append(own)
    return tuple(rows)


def state_of(voice: Voice, request: Request) -> str:
    """How a request stands, in a word or two."""
    match request.state:
        case "unpaid":
            return voice.say("state.check_unpaid")
        case "dropped":
            return voice.say("state.cancelled")
        case "started":
            return voice.say(f"state.{_STATES[request.told]}")


def price_of(job: Job) -> Msat:
    """The price of the work."""
    assert job.quote is not None, "a price is quoted"
    return Msat(job.quote.price_sats * MSAT_PER_SAT)


def title(text: str) -> str:
    """A request in a few words."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"


def moment(voice: Voice, at_ms: int, *, now_ms: int) -> str:
    """A time of day, with its date where that is another day."""
    clock = f"{at_ms // 3_600_000 % 24:02}:{at_ms // 60_000 % 60:02}"
    if at_ms // DAY_MS == now_ms // DAY_MS:
        return voice.say("time.moment", clock=clock)
    return voice.say("time.far_moment", date=date(voice, at_ms), clock=clock)


def date(voice: Voice, at_ms: int) -> str:
    """A day, in UTC."""
    day = datetime.fromtimestamp(at_ms / 1000, UTC)
    return voice.say("time.date", year=day.year, month=f"{day:%m}", day=f"{day:%d}")


_STATES = {
    "": "checking",
    "evaluating": "checking",
    "awaiting_work_payment": "priced",
    "executing": "working",
    "complete": "done",
    "rejected": "declined",
    "failed": "failed_credited",
}
