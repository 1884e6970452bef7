"""Visits at a terminal: who comes, at what screen, and what serves them until they leave."""

import getpass
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bots.office import Office, RealmTaken
from bots.terminal import NAME, Look, Screen, Service, TerminalChannel
from bots.terminal_view import Face
from core.app import Core
from core.config import Config
from core.config_model import NostrSettings, TelegramSettings
from core.desk.visit_desk import VisitDesk
from core.values.clock import Clock
from core.values.errors import DatabaseUnavailable
from core.values.mail import Peer
from core.values.text import storable
from core.wallets.stub import StubWallet

WIDTH_LEAST: Final = 20
WIDTH_MOST: Final = 500
WHO_MAX: Final = 64
REST_BEAT_S: Final = 0.05
REST_MOST_S: Final = 900.0  # longer than the work of a job may take by default


def local_user() -> str:
    """The name of whoever started this process, the same every time."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return str(os.getuid())


def to_query(look: Look) -> dict[str, str]:
    """How a screen introduces itself to a server."""
    return {
        "who": look.who,
        "width": str(look.face.width),
        "ansi": str(int(look.face.has_ansi)),
        "typed": str(int(look.is_typed)),
        "lang": look.lang,
    }


def from_query(query: Mapping[str, str]) -> Look:
    """The look of a screen that introduced itself; what it does not say is the least."""
    told = query.get("width", "")
    width = int(told) if told.isascii() and told.isdecimal() and len(told) < 5 else 0
    return Look(
        who=storable(query.get("who", ""))[:WHO_MAX] or "somebody",
        face=Face(min(max(width, WIDTH_LEAST), WIDTH_MOST), query.get("ansi") == "1"),
        is_typed=query.get("typed") == "1",
        lang=query.get("lang", "")[:WHO_MAX],
    )


def terminal_only(config: Config) -> Config:
    """The same settings, without any other channel."""
    nostr = NostrSettings(name=config.nostr.name)
    return config.model_copy(update={"telegram": TelegramSettings(), "nostr": nostr})


@dataclass(frozen=True, slots=True)
class Reception:
    """Receives visitors."""

    core: Core
    office: Office

    async def visit(self, screen: Screen, query: Mapping[str, str]) -> bool:
        """Serve a screen that introduced itself so, as `receive` does."""
        return await self.receive(screen, from_query(query))

    async def receive(self, screen: Screen, look: Look) -> bool:
        """Serve a screen until it is left; False where that cannot be, which is said there."""
        desk = VisitDesk(self.core.store, Peer(NAME, look.who, look.who))
        catalogue = self.office.catalogue

        async def say(key: str, **values: str) -> str:
            try:
                lang = await desk.lang()
            except DatabaseUnavailable:
                lang = None
            return catalogue.say(key, lang or catalogue.pick(look.lang), **values)

        wallet, clock = self.core.wallet, self.core.desk.clock
        service = Service(
            say=say,
            pay=wallet.pay if isinstance(wallet, StubWallet) else None,
            rest=Rest(desk, clock),
            open_codes=desk.open_codes,
            clock=clock,
        )
        try:
            await self.office.receive(TerminalChannel(screen, look, service))
        except RealmTaken:
            await screen.show(await say("terminal.taken", who=look.who) + "\n")
        except DatabaseUnavailable:
            await screen.show(await say("terminal.away") + "\n")
        else:
            return True
        return False


@dataclass(frozen=True, slots=True)
class Rest:
    """Waits until all that a person did is answered, but not for ever."""

    desk: VisitDesk
    clock: Clock

    async def __call__(self, paid: Sequence[str]) -> None:
        """Return when nothing more comes before the person does something."""
        ends = self.clock.monotonic() + REST_MOST_S
        while not await self.desk.is_at_rest(paid) and self.clock.monotonic() < ends:
            await self.clock.sleep(REST_BEAT_S)
