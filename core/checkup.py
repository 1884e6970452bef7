"""The checkup: look at whatever the server needs, keep it as it is, and say what to do.

It runs beside a live server as well as without one.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final, Literal

import aiohttp

from core.app import open_agent, open_wallet
from core.config import Config
from core.store import migrate
from core.store.bulletin import Bulletin
from core.store.history import applied
from core.store.sqlite_file import pending_migrations
from core.values.clock import Clock, rfc3339
from core.values.errors import Unavailable, WalletUnavailable
from core.values.keys import SECRET_BYTES
from core.values.money import payout_sats

ANSWER_S = 15
CLOCK_OFF_MS_MAX = 60_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found; with a warning the server runs, and something is missing."""

    about: str
    state: Literal["good", "warning", "fault"]
    sentence: str


Look = Callable[[Config, Clock], Coroutine[None, None, Finding]]
_NO_MORE: Final[Mapping[str, Look]] = MappingProxyType({})


async def look_at_everything(
    config: Config, *, clock: Clock, more: Mapping[str, Look] = _NO_MORE
) -> list[Finding]:
    """One finding for each thing that the server needs; the settings themselves are good.

    `more` looks at what the core does not know, such as the bots.
    """
    looks = {
        "database": _database(config, clock),
        "wallet": _wallet(config, clock),
        "model": _model(config, clock),
        "clock": _clock(config, clock),
        **{about: look(config, clock) for about, look in more.items()},
    }
    found = await asyncio.gather(*(_in_time(about, look) for about, look in looks.items()))
    return [Finding("settings", "good", "understood"), _folder(config), *found]


async def _in_time(about: str, look: Coroutine[None, None, Finding]) -> Finding:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await look
    except TimeoutError:
        return Finding(about, "fault", f"no answer within {ANSWER_S} s")


def _folder(config: Config) -> Finding:
    folder = config.server.data_dir.absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding("data folder", "fault", f"this user cannot write to {there}")
    later = "" if there == folder else ", made at the first start"
    return Finding("data folder", "good", f"{folder}{later}")


async def _database(config: Config, clock: Clock) -> Finding:
    try:
        pending = await _pending_migrations(config, clock)
    except (Unavailable, migrate.SchemaRefused) as fault:
        return Finding("database", "fault", str(fault))
    if pending is None:
        return Finding("database", "good", "made at the first start")
    if pending:
        advice = f"{len(pending)} changes of the schema at the next start: take a backup first"
        return Finding("database", "warning", advice)
    return Finding("database", "good", "healthy, and of this version")


async def _pending_migrations(config: Config, clock: Clock) -> list[migrate.Migration] | None:
    """What the next start would run, or None where there is no database yet."""
    migrations = migrate.load()
    if config.database.is_sqlite:
        file = config.server.data_dir / "boltwork.db"
        if not file.exists():
            return None
        return await asyncio.to_thread(pending_migrations, file, migrations)
    from core.store.postgres import PostgresStore  # noqa: PLC0415  # only where it is configured

    # Opened without migrations it changes nothing but for the table that lists them.
    dsn = config.database.url.get_secret_value()
    store = await PostgresStore.open(dsn, [], Bulletin(), clock.now_ms())
    try:
        history = await store.read(applied)
    finally:
        await store.aclose()
    return migrate.check_history(migrations, history) if history else None


async def _wallet(config: Config, clock: Clock) -> Finding:
    if config.wallet.kind == "stub":
        return Finding("wallet", "good", "the stub: play money, for development only")
    wallet = open_wallet(config, bytes(SECRET_BYTES), clock)  # the secret is for invoices only
    try:
        balance = await wallet.balance()
    except WalletUnavailable as fault:
        advice = "check wallet.lnbits.url and wallet.lnbits.invoice_key"
        return Finding("wallet", "fault", f"{fault.reason}: {advice}")
    finally:
        await wallet.aclose()
    if not config.wallet.lnbits.admin_key:
        advice = "without wallet.lnbits.admin_key no refund and no withdrawal can be paid out"
        return Finding("wallet", "warning", advice)
    return Finding("wallet", "good", f"LNbits answers, and holds {payout_sats(balance)} sat")


async def _model(config: Config, clock: Clock) -> Finding:
    agent = open_agent(config, clock)
    try:
        is_ready = await agent.ready()
    finally:
        await agent.aclose()
    if not is_ready:
        advice = "no good answer: check agent.openai.base_url and agent.openai.api_key"
        return Finding("model", "fault", advice)
    if config.agent.kind == "offline":
        return Finding("model", "good", "the offline agent: small tools, no account")
    return Finding("model", "good", f"{config.agent.openai.base_url} answers")


async def _clock(config: Config, clock: Clock) -> Finding:
    """Compare with whoever we talk to anyway: every HTTP answer tells the time."""
    others = []
    if config.wallet.kind == "lnbits":
        others.append(config.wallet.lnbits.url)
    if config.agent.kind == "openai":
        others.append(config.agent.openai.base_url)
    if config.telegram.token:
        others.append(config.telegram.api_base)
    others += [relay.replace("ws", "http", 1) for relay in config.nostr.relays]
    for other in others:
        if (told_ms := await _time_at(other)) is None:
            continue
        off_ms = clock.now_ms() - told_ms
        if abs(off_ms) > CLOCK_OFF_MS_MAX:
            late = "ahead of" if off_ms > 0 else "behind"
            advice = "invoices and tokens expire by it: set it right, for example with NTP"
            sentence = f"{abs(off_ms) // 1000} s {late} that of {other}; {advice}"
            return Finding("clock", "fault", sentence)
        return Finding("clock", "good", f"agrees with that of {other}")
    return Finding("clock", "good", f"{rfc3339(clock.now_ms())}; there is nobody to compare with")


async def _time_at(url: str) -> int | None:
    try:
        async with aiohttp.ClientSession() as session, session.head(url) as answer:
            told = answer.headers.get("Date", "")
            return int(parsedate_to_datetime(told).timestamp() * 1000)
    except (aiohttp.ClientError, ValueError):
        return None
