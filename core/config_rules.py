"""What settings must satisfy together; each section alone is the business of its model."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from core.config_model import Config


class Clash(NamedTuple):
    """Keys that do not go together; the first one is where the operator should look."""

    keys: tuple[str, ...]
    sentence: str


def clashes(config: Config) -> Iterator[Clash]:
    """Everything in which the settings contradict each other."""
    for rule in _RULES:
        yield from rule(config)


def _the_stub_wallet_stays_at_home(config: Config) -> Iterator[Clash]:
    if config.wallet.kind != "stub":
        return
    if config.server.environment != "development":
        yield Clash(
            ("wallet.kind", "server.environment"),
            'the stub wallet holds no money; it needs server.environment = "development"',
        )
    if not config.server.listen.is_loopback:
        yield Clash(
            ("server.listen", "wallet.kind"),
            "anybody can pay with the stub wallet; with it the server must listen on loopback, "
            "for example 127.0.0.1:8402",
        )


def _lnbits_has_an_address_and_a_key(config: Config) -> Iterator[Clash]:
    if config.wallet.kind != "lnbits":
        return
    if not config.wallet.lnbits.url:
        yield Clash(("wallet.lnbits.url", "wallet.kind"), "is needed: the address of your LNbits")
    if not config.wallet.lnbits.invoice_key:
        yield Clash(
            ("wallet.lnbits.invoice_key", "wallet.kind"),
            "is needed: LNbits shows it under the wallet's API docs as the invoice/read key",
        )


def _model_ids_are_unique(config: Config) -> Iterator[Clash]:
    for model_id, times in Counter(model.id for model in config.models).items():
        if times > 1:
            yield Clash(("models",), f'the id "{model_id}" is given to {times} models')


def _least_is_not_above_most(config: Config) -> Iterator[Clash]:
    if config.pricing.min_sats > config.pricing.max_sats:
        yield Clash(("pricing.min_sats", "pricing.max_sats"), "must not be above pricing.max_sats")
    for key in ("min_deposit_sats", "l402_deposit_sats"):
        if getattr(config.sessions, key) > config.sessions.max_deposit_sats:
            yield Clash(
                (f"sessions.{key}", "sessions.max_deposit_sats"),
                "must not be above sessions.max_deposit_sats",
            )


def _bots_can_be_reached(config: Config) -> Iterator[Clash]:
    is_brought = bool(config.telegram.token) and config.telegram.mode == "webhook"
    if is_brought and not config.server.public_url.startswith("https://"):
        yield Clash(
            ("server.public_url", "telegram.mode", "telegram.token"),
            'must be an https address for telegram.mode = "webhook": there Telegram reaches us',
        )
    if config.nostr.secret_key and not config.nostr.relays:
        yield Clash(
            ("nostr.relays", "nostr.secret_key"),
            "needs at least one relay while nostr.secret_key is set",
        )


def _listeners_are_apart(config: Config) -> Iterator[Clash]:
    if config.operator.listen.port and config.operator.listen == config.server.listen:
        yield Clash(
            ("operator.listen", "server.listen"), "must be another address than server.listen"
        )


_RULES: tuple[Callable[[Config], Iterator[Clash]], ...] = (
    _the_stub_wallet_stays_at_home,
    _lnbits_has_an_address_and_a_key,
    _model_ids_are_unique,
    _least_is_not_above_most,
    _bots_can_be_reached,
    _listeners_are_apart,
)
