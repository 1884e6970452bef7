"""What is for sale, as JSON at /info and as the numbers on the front page."""

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field

from api.models import REQUEST_CHARS_MAX, Outgoing
from api.receive import BODY_BYTES_MAX
from core.config_model import Config
from core.version import VERSION


class ModelOffer(Outgoing):
    """A model and its list price."""

    id: str
    input_msat_per_1k: int = Field(serialization_alias="inputMsatPer1k")
    output_msat_per_1k: int = Field(serialization_alias="outputMsatPer1k")
    max_output_tokens: int
    context_tokens: int


class Prices(Outgoing):
    """What a job costs beside the list price of its model."""

    eval_fee_sats: int
    base_msat: int
    min_sats: int
    max_sats: int


class Policies(Outgoing):
    """What is kept, returned and waited for."""

    eval_fee_on_reject: Literal["keep", "return"]
    invoice_expiry_s: int
    unpaid_ttl_s: int
    deadline_s: int
    work_calls_max: int
    retention_days: int


class Limits(Outgoing):
    """How much may be sent and asked; 0 is no limit."""

    request_chars: int
    body_bytes: int
    requests_per_minute: int
    open_invoices_per_client: int
    free_evaluations_per_hour: int


class Demo(Outgoing):
    """The free taste."""

    enabled: bool
    per_hour: int
    per_day_total: int


class Bot(Outgoing):
    """Where the same work can be ordered in a chat."""

    network: Literal["telegram", "nostr"]
    name: str


Bots = Callable[[], Sequence[Bot]]  # those whose names are known by now


def no_bots() -> Sequence[Bot]:
    """Nowhere."""
    return ()


class Info(Outgoing):
    """The offer of this server."""

    name: str
    version: str
    network: Literal["mainnet", "signet", "testnet", "regtest"]
    is_play_money: bool
    models: list[ModelOffer]
    prices: Prices
    policies: Policies
    limits: Limits
    demo: Demo
    bots: list[Bot]
    contact: str | None


def info_of(config: Config, bots: list[Bot]) -> Info:
    """The offer that these settings make."""
    pricing, jobs, limits = config.pricing, config.jobs, config.limits
    return Info(
        name="Boltwork",
        version=VERSION,
        network=config.wallet.network,
        is_play_money=config.wallet.kind == "stub",
        models=[ModelOffer(**model.model_dump(exclude={"upstream_id"})) for model in config.models],
        prices=Prices(
            eval_fee_sats=pricing.eval_fee_sats,
            base_msat=pricing.base_msat,
            min_sats=pricing.min_sats,
            max_sats=pricing.max_sats,
        ),
        policies=Policies(
            eval_fee_on_reject=pricing.eval_fee_on_reject,
            invoice_expiry_s=jobs.invoice_expiry_s,
            unpaid_ttl_s=jobs.unpaid_ttl_s,
            deadline_s=jobs.deadline_s,
            work_calls_max=jobs.attempts,
            retention_days=jobs.retention_days,
        ),
        limits=Limits(
            request_chars=REQUEST_CHARS_MAX,
            body_bytes=BODY_BYTES_MAX,
            requests_per_minute=limits.requests_per_minute,
            open_invoices_per_client=limits.open_invoices_per_client,
            free_evaluations_per_hour=limits.free_evaluations_per_hour,
        ),
        demo=Demo(**config.demo.model_dump()),
        bots=bots,
        contact=config.operator.contact or None,
    )
