"""What goes over the wire, as types: the document at /openapi.json is generated from these.

Names are camelCase on the wire. Money is whole satoshi or millisatoshi, always an integer; times
are RFC 3339 in UTC. What comes in has no unknown fields and is not converted: "1" is no number.
"""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from core.values.money import SATS_MAX
from core.values.states import ErrorCode, State

REQUEST_CHARS_MAX = 16_000


def plain_integer(value: object) -> object:
    """The integer that a query parameter spells without sign, point or exponent."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value) else value


Sats = Annotated[int, Field(ge=0, le=SATS_MAX)]
Msat = Annotated[int, Field(ge=0)]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
JobId = Annotated[str, Field(pattern="^job_[0-9A-HJKMNP-TV-Z]{26}$")]
RefundId = Annotated[str, Field(pattern="^rfd_[0-9A-HJKMNP-TV-Z]{26}$")]
RequestText = Annotated[str, Field(min_length=1, max_length=REQUEST_CHARS_MAX)]
WaitSeconds = Annotated[int, Field(ge=0, le=60), BeforeValidator(plain_integer)]
Note = Annotated[str, Field(max_length=512)]


class Incoming(BaseModel):
    """What customers send."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=False,
        extra="forbid",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
    )


class Outgoing(BaseModel):
    """What we answer."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=False,
        serialize_by_alias=True,
        extra="forbid",
        strict=True,
        frozen=True,
    )

    def to_json(self) -> bytes:
        """The bytes on the wire."""
        return self.model_dump_json().encode()


class JobOrder(Incoming):
    """A piece of work to be evaluated, priced, and then done."""

    request: RequestText = Field(examples=["Sort these names: Zoe, Adam, Mia."])
    max_price_sats: Sats | None = Field(
        default=None, description="A quote above this ends the job as rejected."
    )
    metadata: Annotated[dict[Note, Note], Field(max_length=16)] | None = Field(
        default=None, description="Yours; comes back with the job."
    )
    refund_to: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        default=None,
        description="user@host or lnurl1...: what becomes due of the job goes there by itself.",
    )


class RefundOrder(Incoming):
    """Where the money that is due of a job goes."""

    to: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description="A Lightning invoice over the amount, user@host, lnurl1..., or a session's id."
    )


class JobWait(Incoming):
    """How long to wait for a job to change."""

    wait: WaitSeconds = Field(default=0, description="Seconds to wait for a change.")
    state: State | None = Field(
        default=None,
        description="Answer as soon as the state is another. Without it: as soon as it changes.",
    )


class DemoQuery(Incoming):
    """What the free demo is asked."""

    request: RequestText = Field(examples=["Sort these names: Zoe, Adam, Mia."])


class SomebodysInvoice(Incoming):
    """An invoice that the stub wallet is to make in somebody else's name."""

    amount_sats: Annotated[int, Field(ge=1, le=SATS_MAX)]


class Anything(Incoming):
    """Whatever the wallet tells; only the payment hash in it is looked at."""

    model_config = ConfigDict(extra="allow")


class Invoice(Outgoing):
    """A Lightning invoice of ours."""

    payment_request: str
    payment_hash: Hash
    amount_sats: Sats
    purpose: Literal["eval", "work", "deposit", "topup"]
    status: Literal["open", "paid", "expired"]
    expires_at: Moment
    paid_at: Moment | None
    pay_url: str | None


class Quote(Outgoing):
    """What the work will cost."""

    price_sats: Sats
    input_tokens: int
    output_tokens: int
    expires_at: Moment


class Usage(Outgoing):
    """What the work took."""

    input_tokens: int
    output_tokens: int


class Refund(Outgoing):
    """Money on its way back. `amountMsat` arrives; `feeMsat` is the reserve, then the real fee."""

    refund_id: RefundId
    amount_msat: Msat
    fee_msat: Msat
    state: Literal["due", "sending", "paid", "unknown", "credited"]
    destination: str | None
    claim_lnurl: str | None
    updated_at: Moment


class Job(Outgoing):
    """A job as its customer sees it."""

    job_id: JobId
    state: State
    version: int
    request: str | None
    metadata: dict[str, str] | None
    created_at: Moment
    updated_at: Moment
    deadline_at: Moment | None
    eval_invoice: Invoice | None
    quote: Quote | None
    work_invoice: Invoice | None
    reason: str | None
    result: str | None
    model: str | None
    usage: Usage | None
    error_code: ErrorCode | None
    error_message: str | None
    refunds: list[Refund]


class JobOpened(Outgoing):
    """A new job. `jobToken` is shown this once; whatever moves money asks for it."""

    job_id: JobId
    job_token: str
    state: State
    eval_invoice: Invoice | None


class WorkDelta(Outgoing):
    """A piece of the work while it is being done; `offset` counts characters of this attempt."""

    attempt: int
    offset: int
    text: str


class DemoResult(Outgoing):
    """What the free demo answers."""

    result: str


class StubPaid(Outgoing):
    """The stub wallet has played the payer."""

    paid: Literal[True]
    preimage: Hash


class StubInvoice(Outgoing):
    """An invoice of somebody else, for refunds to pay."""

    payment_request: str
    payment_hash: Hash
    amount_sats: Sats


class Accepted(Outgoing):
    """It was heard."""

    accepted: Literal[True]


class Health(Outgoing):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Outgoing):
    """Whether everything that this server needs is there, and what is not."""

    ready: bool
    not_ready: list[str]


class FieldFault(Outgoing):
    """One wrong field; `pointer` is a JSON pointer (RFC 6901)."""

    pointer: str
    detail: str


class OpenAIError(Outgoing):
    """The same refusal in OpenAI's words."""

    message: str
    type: str
    code: str
    param: str | None


class Problem(Outgoing):
    """A refusal: RFC 9457, with `code` for programs and `error` for OpenAI's clients."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldFault] | None = None
    payment: Invoice | None = None
    balance_msat: Msat | None = None
    needed_msat: Msat | None = None
    error: OpenAIError
