"""Every setting of a server: sections, keys, bounds and defaults.

`config.example.toml` says in words what each key does; a test keeps the two alike. The defaults are
those of a development server that needs nobody else: a stub wallet and an offline agent.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from core.config_values import (
    Count,
    DatabaseUrl,
    HostPort,
    HttpUrl,
    HttpUrlOrEmpty,
    Listen,
    ListenAt,
    ModelId,
    MsatPrice,
    Origin,
    PositiveCount,
    PositiveSats,
    PrivateKey,
    ProxyNetwork,
    PublicKey,
    RelayUrl,
    Sats,
    Secret,
    ServerSecret,
)

T = TypeVar("T")

# Strict models take no list for a tuple; TOML and JSON know no tuples.
Many = Annotated[tuple[T, ...], Field(strict=False)]


class Settings(BaseModel):
    """The rules of every section: frozen, no unknown keys, nothing converted in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class ServerSettings(Settings):
    """The public listener and the process around it."""

    listen: ListenAt = Listen("127.0.0.1", 8402)
    public_url: HttpUrlOrEmpty = ""
    environment: Literal["development", "production"] = "development"
    data_dir: Annotated[Path, Field(strict=False)] = Path("data")
    trusted_proxies: Many[ProxyNetwork] = ()
    cors_origins: Many[Origin] = ()
    shutdown_grace_s: Count = 30
    secret: ServerSecret = SecretStr("")


class DatabaseSettings(Settings):
    """Where the books are; a database address may hold a password."""

    url: DatabaseUrl = SecretStr("sqlite")

    @property
    def is_sqlite(self) -> bool:
        """Whether the books are a file in the data folder."""
        return self.url.get_secret_value() == "sqlite"


class LnbitsSettings(Settings):
    """The LNbits wallet."""

    url: HttpUrlOrEmpty = ""
    invoice_key: Secret = SecretStr("")
    admin_key: Secret = SecretStr("")
    webhook: bool = True


class WalletSettings(Settings):
    """Who holds the money."""

    kind: Literal["stub", "lnbits"] = "stub"
    network: Literal["mainnet", "signet", "testnet", "regtest"] = "regtest"
    lnbits: LnbitsSettings = LnbitsSettings()


class OpenAISettings(Settings):
    """An upstream that speaks OpenAI's protocol."""

    base_url: HttpUrl = "https://api.openai.com/v1"
    api_key: Secret = SecretStr("")
    timeout_s: PositiveCount = 120


class AgentSettings(Settings):
    """Who does the work."""

    kind: Literal["offline", "openai"] = "offline"
    openai: OpenAISettings = OpenAISettings()


class ModelSettings(Settings):
    """A model for sale; an empty `upstream_id` means that the upstream knows it by `id`."""

    id: ModelId = "offline"
    upstream_id: str = ""
    input_msat_per_1k: MsatPrice = 1000
    output_msat_per_1k: MsatPrice = 4000
    max_output_tokens: PositiveCount = 4096
    context_tokens: PositiveCount = 32768


class PricingSettings(Settings):
    """What jobs and requests cost beside the model's list price."""

    eval_fee_sats: Sats = 21
    eval_fee_on_reject: Literal["keep", "return"] = "keep"
    base_msat: MsatPrice = 10000
    min_sats: PositiveSats = 10
    max_sats: PositiveSats = 100000
    min_request_msat: MsatPrice = 1000
    min_output_tokens: PositiveCount = 16


class JobsSettings(Settings):
    """How long a job waits, works and is kept."""

    invoice_expiry_s: PositiveCount = 900
    unpaid_ttl_s: PositiveCount = 86400
    deadline_s: PositiveCount = 600
    attempts: PositiveCount = 3
    retention_days: Count = 30


class SessionsSettings(Settings):
    """What a session may be filled with."""

    min_deposit_sats: PositiveSats = 100
    max_deposit_sats: PositiveSats = 1000000
    l402_deposit_sats: PositiveSats = 1000


class RefundsSettings(Settings):
    """What is paid back, and at whose cost."""

    min_sats: PositiveSats = 10
    fee_max_percent: Annotated[int, Field(ge=0, le=100)] = 1
    fee_max_min_sats: Sats = 5
    house_fee_sats_per_day: Sats = 1000
    lnurl_insecure_hosts: Many[HostPort] = ()


class LimitsSettings(Settings):
    """What one client may do; 0 switches a limit off."""

    requests_per_minute: Count = 600
    open_invoices_per_client: Count = 50
    free_evaluations_per_hour: Count = 10
    v1_body_bytes: Count = 1048576


class DemoSettings(Settings):
    """The free taste."""

    enabled: bool = True
    per_hour: Count = 5
    per_day_total: Count = 200


class ChatSettings(Settings):
    """What the bots share."""

    pay_once_sats: PositiveSats = 500
    unpaid_max: PositiveCount = 3
    languages: Annotated[tuple[Literal["en", "de"], ...], Field(strict=False, min_length=1)] = (
        "en",
        "de",
    )


class TelegramSettings(Settings):
    """The Telegram bot; off while the token is empty."""

    token: Secret = SecretStr("")
    api_base: HttpUrl = "https://api.telegram.org"
    mode: Literal["polling", "webhook"] = "polling"
    admin_ids: Many[int] = ()


class NostrSettings(Settings):
    """The Nostr bot; off while the secret key is empty."""

    secret_key: PrivateKey = SecretStr("")
    relays: Many[RelayUrl] = ()
    name: str = ""
    admin_pubkeys: Many[PublicKey] = ()


class OperatorSettings(Settings):
    """The operator's own listener."""

    listen: ListenAt = Listen("127.0.0.1", 8403)
    token: Secret = SecretStr("")
    contact: str = ""


class Config(Settings):
    """Everything that an operator can set."""

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    wallet: WalletSettings = WalletSettings()
    agent: AgentSettings = AgentSettings()
    models: Annotated[tuple[ModelSettings, ...], Field(strict=False, min_length=1)] = (
        ModelSettings(),
    )
    pricing: PricingSettings = PricingSettings()
    jobs: JobsSettings = JobsSettings()
    sessions: SessionsSettings = SessionsSettings()
    refunds: RefundsSettings = RefundsSettings()
    limits: LimitsSettings = LimitsSettings()
    demo: DemoSettings = DemoSettings()
    chat: ChatSettings = ChatSettings()
    telegram: TelegramSettings = TelegramSettings()
    nostr: NostrSettings = NostrSettings()
    operator: OperatorSettings = OperatorSettings()
