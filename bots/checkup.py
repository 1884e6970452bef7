"""The checkup of the bots: do Telegram and the relays answer? Nothing is changed there."""
# ruff: noqa: PLC0415  # a library is imported only where its channel is configured

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from core.checkup import Finding, Look
from core.config import Config
from core.values.clock import Clock

if TYPE_CHECKING:
    from bots.nip01 import Signer
    from bots.telegram import HookState

RELAY_S = 5.0
_PROFILE, _MAIL_RELAYS = 0, 10050


def looks(config: Config) -> dict[str, Look]:
    """What there is to look at with these settings."""
    found: dict[str, Look] = {}
    if config.telegram.token:
        found["telegram"] = look_at_telegram
    if config.nostr.secret_key:
        found["nostr"] = look_at_nostr
    return found


async def look_at_telegram(config: Config, _clock: Clock) -> Finding:
    """Whether Telegram knows the bot, and how updates come from there."""
    from bots.channel import Down
    from bots.telegram import BotApi
    from bots.telegram_faults import Failed

    api = BotApi(config.telegram.token.get_secret_value(), api_base=config.telegram.api_base)
    try:
        me, state = await api.hello(), await api.hook_state()
    except Failed as failure:
        key = "token" if isinstance(failure.outcome, Down) else "api_base"
        return Finding("telegram", "fault", f"{failure}: check telegram.{key}")
    finally:
        await api.aclose()
    return _telegram_finding(config, f"@{me.username}", state)


def _telegram_finding(config: Config, name: str, state: "HookState") -> Finding:
    host = urlsplit(state.url).netloc
    if config.telegram.mode == "polling":
        if state.url:
            advice = f"is told to bring updates to {host}; the next start ends that"
            return Finding("telegram", "warning", f"{name} {advice}")
        return Finding("telegram", "good", f"{name} answers, and is polled")
    if state.last_fault and state.waiting:  # what went wrong long ago is still told
        trouble = f"{state.last_fault}; {state.waiting} updates wait"
        return Finding("telegram", "warning", f"{name} cannot reach {host}: {trouble}")
    if host != urlsplit(config.server.public_url).netloc:
        return Finding("telegram", "good", f"{name} answers; the next start tells it our address")
    return Finding("telegram", "good", f"{name} answers, and brings updates to {host}")


async def look_at_nostr(config: Config, clock: Clock) -> Finding:
    """Whether the relays answer, and whether they have what others have to know of us."""
    from bots.nostr_places import clean_url
    from bots.pynostr_keys import npub, signer_of

    try:
        me = signer_of(config.nostr.secret_key.get_secret_value())
    except ValueError:
        return Finding("nostr", "fault", "nostr.secret_key is no secret key of Nostr")
    urls = [clean_url(str(relay)) for relay in config.nostr.relays]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        kinds = await asyncio.gather(*(_kinds_at(url, me, session, clock) for url in urls))
    away = [url for url, found in zip(urls, kinds, strict=True) if found is None]
    if len(away) == len(urls):
        return Finding(
            "nostr", "fault", f"no relay answers ({', '.join(away)}): check nostr.relays"
        )
    name = npub(me.pubkey)
    if away:
        return Finding("nostr", "warning", f"{name}: no answer from {', '.join(away)}")
    published: set[object] = set().union(*(found or () for found in kinds))
    if {_PROFILE, _MAIL_RELAYS} <= published:
        return Finding("nostr", "good", f"{name}: all {len(urls)} relays answer")
    later = "the profile is published at the next start"
    return Finding("nostr", "good", f"{name}: all {len(urls)} relays answer; {later}")


async def _kinds_at(
    url: str, me: "Signer", session: aiohttp.ClientSession, clock: Clock
) -> set[object] | None:
    """Which of the events about us a relay has; None where it does not answer."""
    from bots.nostr_relay import Patience, look_up

    wanted = {"kinds": [_PROFILE, _MAIL_RELAYS], "authors": [me.pubkey]}
    patience = Patience(connect_s=RELAY_S, answer_s=RELAY_S)
    try:
        events = await look_up(
            url, wanted, session=session, signer=me, clock=clock, patience=patience
        )
    except (TimeoutError, aiohttp.ClientError, OSError):
        return None
    return {event.get("kind") for event in events}
