"""The chat doors of a core: which channels are switched on, and what they say of the service."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from bots import catalogue
from bots.alarms import Alarms
from bots.channel import Channel
from bots.office import Office, open_office
from bots.operator import Operator
from bots.scene import Shop
from bots.words import MENU
from core.app import Core
from core.app_desk import job_terms, model_of, pricing_of
from core.app_operator import admin_desk
from core.config import Config
from core.net import Names, SystemNames
from core.values.mail import Peer
from core.values.texts import Catalogue

if TYPE_CHECKING:
    from bots.nostr import NostrChannel
    from bots.telegram_channel import TelegramChannel

NAME = "Boltwork"


def _no_errors() -> Sequence[str]:
    return ()


@asynccontextmanager
async def serve_bots(
    core: Core, config: Config, *, last_errors: Callable[[], Sequence[str]] = _no_errors
) -> AsyncIterator[Office]:
    """Serve people on every channel that is configured while the block runs.

    `last_errors` are what the operator is shown of the log.
    """
    texts = catalogue.load(config.chat.languages)
    async with AsyncExitStack() as stack:
        channels: list[Channel[Any]] = []
        connected: dict[str, Callable[[], bool]] = {}
        if config.telegram.token.get_secret_value():
            telegram = telegram_channel(core, config, texts)
            channels.append(telegram)
            telegram.start_learning()
        if config.nostr.secret_key.get_secret_value():
            names = SystemNames()
            stack.callback(names.close)
            nostr = nostr_channel(core, config, texts, names)
            channels.append(nostr)
            connected[nostr.name] = lambda: nostr.relays_up > 0
        admin, peers = admin_desk(core), operators_of(config)
        operator = Operator(
            desk=admin,
            people=core.desk.people,
            peers=frozenset(peers),
            id_of=_id_of,
            last_errors=last_errors,
        )
        alarms = Alarms(
            desk=admin,
            mail=core.desk.mail,
            catalogue=texts,
            peers=peers,
            lnbits_url=config.wallet.lnbits.url,
            model_url=config.agent.openai.base_url,
        )
        office = await stack.enter_async_context(
            open_office(
                core.desk,
                shop_of(config),
                texts,
                channels=channels,
                operator=operator,
                alarms=alarms,
            )
        )
        for channel in channels:
            is_connected = connected.get(channel.name, _always)
            core.desk.health.doors[channel.name] = partial(office.is_well, channel, is_connected)
        yield office


def names_of(office: Office) -> list[tuple[Literal["telegram", "nostr"], str]]:
    """Where people find the bots, as far as that is known by now."""
    names: list[tuple[Literal["telegram", "nostr"], str]] = []
    for channel in office.channels:
        if channel.name == "nostr":
            from bots.pynostr_keys import npub  # noqa: PLC0415  # only where it is used

            names.append(("nostr", npub(channel.realm)))
        elif channel.address:
            names.append(("telegram", f"@{channel.address.rpartition('/')[2]}"))
    return names


def update_door(office: Office) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
    """What takes in the updates that Telegram brings. It raises Unavailable."""
    from bots.telegram_channel import TelegramChannel  # noqa: PLC0415  # only where it is used

    (telegram,) = (one for one in office.channels if isinstance(one, TelegramChannel))

    async def take(update: Mapping[str, Any]) -> None:
        await telegram.take_update(dict(update), office)

    return take


def operators_of(config: Config) -> list[Peer]:
    """The operator on every channel that is configured."""
    peers = []
    if token := config.telegram.token.get_secret_value():
        bot_id = token.partition(":")[0]
        peers += [Peer("telegram", bot_id, str(uid)) for uid in config.telegram.admin_ids]
    if secret_key := config.nostr.secret_key.get_secret_value():
        from bots.pynostr_keys import signer_of  # noqa: PLC0415  # only where it is used

        realm = signer_of(secret_key).pubkey
        peers += [Peer("nostr", realm, _id_of(key)) for key in config.nostr.admin_pubkeys]
    return peers


def _id_of(name: str) -> str:
    """What the books call somebody; a Nostr key is in hex there."""
    if not name.startswith("npub1"):
        return name
    from bots.pynostr_keys import pubkey_of  # noqa: PLC0415  # only where it is used

    try:
        return pubkey_of(name)
    except ValueError:
        return name


def _always() -> bool:
    return True


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
        invoice_expiry_s=terms.invoice_expiry_s,
        unpaid_ttl_ms=terms.unpaid_ttl_ms,
        retention_days=config.jobs.retention_days,
        pricing=pricing_of(config),
        prices=model.prices,
    )


def telegram_channel(core: Core, config: Config, texts: Catalogue) -> "TelegramChannel":
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


def nostr_channel(core: Core, config: Config, texts: Catalogue, names: Names) -> "NostrChannel":
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
