"""The chat doors of a core: which channels are switched on, and what they say of the service."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from bots import catalogue
from bots.channel import Channel
from bots.office import Office, open_office
from bots.scene import Shop
from bots.words import MENU
from core.app import Core
from core.app_desk import job_terms, model_of, pricing_of
from core.config import Config
from core.net import Names, SystemNames
from core.values.texts import Catalogue

NAME = "Boltwork"


@asynccontextmanager
async def serve_bots(core: Core, config: Config) -> AsyncIterator[Office]:
    """Serve people on every channel that is configured while the block runs."""
    texts = catalogue.load(config.chat.languages)
    async with AsyncExitStack() as stack:
        channels: list[Channel[Any]] = []
        if config.telegram.token.get_secret_value():
            channels.append(telegram_channel(core, config, texts))
        if config.nostr.secret_key.get_secret_value():
            names = SystemNames()
            stack.callback(names.close)
            channels.append(nostr_channel(core, config, texts, names))
        shop = shop_of(config)
        yield await stack.enter_async_context(
            open_office(core.desk, shop, texts, channels=channels)
        )


def shop_of(config: Config) -> Shop:
    """What the conversation says about the service."""
    model = model_of(config.models[0])
    terms = job_terms(config)
    return Shop(
        name=config.nostr.name or NAME,
        contact=config.operator.contact,
        check_fee=terms.eval_fee,
        keeps_fee_on_reject=terms.keeps_fee_on_reject,
        pay_once_sats=config.chat.pay_once_sats,
        unpaid_max=config.chat.unpaid_max,
        deposit_min_sats=config.sessions.min_deposit_sats,
        deposit_max_sats=config.sessions.max_deposit_sats,
        payout_min_sats=config.refunds.min_sats,
        invoice_expiry_s=terms.invoice_expiry_s,
        unpaid_ttl_ms=terms.unpaid_ttl_ms,
        retention_days=config.jobs.retention_days,
        pricing=pricing_of(config),
        prices=model.prices,
        languages=config.chat.languages,
    )


def telegram_channel(core: Core, config: Config, texts: Catalogue) -> Channel[Any]:
    """The Telegram bot; its library is imported only where it is used."""
    from bots.telegram import BotApi, Profile, Webhook  # noqa: PLC0415
    from bots.telegram_channel import TelegramChannel  # noqa: PLC0415
    from bots.telegram_presses import Seals  # noqa: PLC0415

    token = config.telegram.token.get_secret_value()

    def profile(lang: str) -> Profile:
        return Profile(
            commands=[(name, texts.say(f"cmd.{name}", lang)) for name in MENU],
            description=texts.say("profile.description", lang),
            about=texts.say("profile.short", lang),
        )

    def toast(key: str, wanted: str | None) -> str:
        return texts.say(key, texts.pick(wanted))

    webhook = None
    if config.telegram.mode == "webhook":
        base = config.server.public_url.rstrip("/")
        url = f"{base}/hooks/telegram/{core.telegram_secrets.path}"
        webhook = Webhook(url, core.telegram_secrets.header)
    return TelegramChannel(
        BotApi(token, api_base=config.telegram.api_base),
        seals=Seals([core.button_key]),
        toast=toast,
        clock=core.desk.clock,
        profiles={"": profile("en")} | {lang: profile(lang) for lang in texts.languages},
        webhook=webhook,
    )


def nostr_channel(core: Core, config: Config, texts: Catalogue, names: Names) -> Channel[Any]:
    """The Nostr bot; its libraries are imported only where they are used."""
    from bots.nostr import NostrChannel, Profile  # noqa: PLC0415

    return NostrChannel(
        secret_key=config.nostr.secret_key.get_secret_value(),
        relays=[str(relay) for relay in config.nostr.relays],
        profile=Profile(
            name=config.nostr.name or NAME, about=texts.say("profile.description", "en")
        ),
        names=names,
        clock=core.desk.clock,
        chance=random.Random(),  # noqa: S311 - spreads reconnections, guards nothing
    )
