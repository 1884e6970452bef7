"""Sessions on the wire: what is sent and answered under /sessions."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from api.models import (
    Incoming,
    Invoice,
    Job,
    Moment,
    Msat,
    Outgoing,
    Refund,
    RequestText,
    Sats,
    Usage,
    plain_integer,
)
from core.values.caveats import NUMBER_MAX, Right
from core.values.money import SATS_MAX

SessionId = Annotated[str, Field(pattern="^ses_[0-9A-HJKMNP-TV-Z]{26}$")]
TokenId = Annotated[str, Field(pattern="^tok_[0-9A-HJKMNP-TV-Z]{26}$")]
EntryId = Annotated[str, Field(pattern="^ent_[0-9A-HJKMNP-TV-Z]{26}$")]
LinkId = Annotated[str, Field(pattern="^lnk_[0-9A-HJKMNP-TV-Z]{26}$")]
Limit = Annotated[int, Field(ge=1, le=100), BeforeValidator(plain_integer)]
Cursor = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,200}$")]
ModelName = Annotated[str, Field(pattern=r"^[!-+\--~]{1,200}$")]  # a comma separates them
TokenMsat = Annotated[int, Field(ge=0, le=NUMBER_MAX)]


class Amount(Incoming):
    """How much to fill a session with."""

    amount_sats: Sats = Field(examples=[1000])


class SessionOpened(Outgoing):
    """A new session. `macaroon` is shown this once; it is the API key of any OpenAI client."""

    session_id: SessionId
    macaroon: str
    state: Literal["awaiting_deposit"]
    deposit_invoice: Invoice


class Session(Outgoing):
    """A session as its customer sees it. Free money is `balanceMsat` less `heldMsat`."""

    session_id: SessionId
    state: Literal["awaiting_deposit", "active", "closed"]
    balance_msat: Msat
    held_msat: Msat
    spent_msat: int
    deposited_msat: Msat
    open_invoices: list[Invoice]
    created_at: Moment
    expires_at: None


class ToppedUp(Outgoing):
    """The invoice of a top-up."""

    topup_invoice: Invoice


class SessionRequest(Incoming):
    """One request, paid from the balance."""

    request: RequestText = Field(examples=["Sort these names: Zoe, Adam, Mia."])
    model: Annotated[str, Field(max_length=200)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=NUMBER_MAX)] | None = None


class SessionAnswer(Outgoing):
    """What the model answered, what it cost, and what is left."""

    result: str
    model: str
    usage: Usage
    cost_msat: Msat
    balance_msat: Msat


class SessionJobOrder(Incoming):
    """A job that the session pays; at or under `maxPriceSats` the work starts by itself."""

    request: RequestText = Field(examples=["Sort these names: Zoe, Adam, Mia."])
    max_price_sats: Sats | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=512)], Annotated[str, Field(max_length=512)]],
            Field(max_length=16),
        ]
        | None
    ) = None


class Page(Incoming):
    """Which part of a list, newest first."""

    limit: Limit = Field(default=50, description="How many items at the most.")
    cursor: Cursor | None = Field(default=None, description="`nextCursor` of the page before.")


class Entry(Outgoing):
    """One line of the session's account; all of them add up to the balance."""

    entry_id: EntryId
    at: Moment
    kind: Literal["deposit", "topup", "charge", "refund", "withdrawal", "fee", "transfer"]
    amount_msat: int
    balance_msat: Msat
    ref: str


class EntryPage(Outgoing):
    """A page of the ledger."""

    items: list[Entry]
    next_cursor: str | None


class JobPage(Outgoing):
    """A page of jobs."""

    items: list[Job]
    next_cursor: str | None


class WithdrawOrder(Incoming):
    """Where a session's money goes, and how much of it."""

    to: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description="A Lightning invoice, user@host, or lnurl1..."
    )
    amount_sats: Annotated[int, Field(ge=1, le=SATS_MAX)] | None = Field(
        default=None, description="Without it, an address gets all that is free."
    )


class RefundPage(Outgoing):
    """A page of withdrawals."""

    items: list[Refund]
    next_cursor: str | None


class TokenOrder(Incoming):
    """A weaker token for the same session; what is left out is not limited further."""

    label: Annotated[str, Field(min_length=1, max_length=100)] = Field(examples=["my editor"])
    budget_msat: TokenMsat | None = None
    max_request_msat: TokenMsat | None = None
    expires_at: Moment | None = None
    models: Annotated[list[ModelName], Field(min_length=1, max_length=50)] | None = None
    rights: Annotated[list[Right], Field(min_length=1, max_length=5)] | None = Field(
        default=None, description="Without it: read and spend."
    )


class TokenMade(Outgoing):
    """A new token; the macaroon is shown this once."""

    token_id: TokenId
    macaroon: str


class TokenInfo(Outgoing):
    """A token that was handed out."""

    token_id: TokenId
    label: str
    caveats: list[str]


class TokenPage(Outgoing):
    """A page of the asking token and those that stem from it."""

    items: list[TokenInfo]
    next_cursor: str | None


class LinkMade(Outgoing):
    """A code that joins another balance to this one; shown this once."""

    link_id: LinkId
    code: str = Field(examples=["K7QF-2M9P"])
    expires_at: Moment


class LinkCode(Incoming):
    """A code that was made elsewhere; giving it is this side's yes."""

    code: Annotated[str, Field(min_length=1, max_length=40)] = Field(examples=["K7QF-2M9P"])


class LinkTaken(Outgoing):
    """The code was right; the other side is asked."""

    link_id: LinkId


class Link(Outgoing):
    """A link as one side sees it. `other` is a session's id, or people by their channel and id."""

    link_id: LinkId
    state: Literal["open", "taken", "joined", "expired"]
    other: str | None
    other_balance_msat: Msat | None


class Revoked(Outgoing):
    """The token, its copies and its children open nothing any more."""

    token_id: TokenId
    revoked: Literal[True]
