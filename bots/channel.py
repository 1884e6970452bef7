"""The boundary between the conversation and a channel. An adapter moves messages and draws them.

It knows no job and no money; the conversation knows no channel. Delivery asks an adapter for the
steps that a letter takes (`plan`, pure), performs one after the other, and remembers which are
done, so that nothing is said twice after a crash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from core.values.mail import File, Inbound, Letter, Peer, Press

Step = TypeVar("Step")


@dataclass(frozen=True, slots=True)
class Caps:
    """What a channel can do, and how fast it may be used. 0 is no limit.

    `is_idempotent` says that the same message sent twice is one.
    """

    has_buttons: bool
    can_edit: bool
    can_preview: bool
    per_peer_per_s: float
    burst: int
    per_s: float
    is_idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands in a slot now: the channel's ids of its messages, and what form they have."""

    ext_ids: tuple[str, ...]
    form: str  # the adapter's own word, such as "photo" or "text"
    digest: str  # of the content that is shown


@dataclass(frozen=True, slots=True)
class Sent:
    """The channel has it. None where nothing new stands anywhere (an edit, a deletion).

    `lacks_links` says that it was taken only without its buttons that open a page.
    """

    ext_id: str | None = None
    form: str = "text"
    lacks_links: bool = False


@dataclass(frozen=True, slots=True)
class TryLater:
    """Not now: in `after_s`, or when delivery thinks best where that is None.

    `is_for_all` says that the whole channel has to wait, not this peer alone.
    """

    after_s: float | None
    reason: str
    is_for_all: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """The peer cannot be reached until it comes back by itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The message that was to be edited is not there any more: say it anew."""


@dataclass(frozen=True, slots=True)
class Bad:
    """The channel will never take this."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The channel may or may not have it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Down:
    """The channel refuses us altogether, and an operator has to look: a wrong token, a rival."""

    reason: str
    is_rival: bool = False


Outcome = Sent | TryLater | Gone | Lost | Bad | Unknown | Down


class Office(Protocol):
    """What an adapter hands its mail to."""

    async def take(self, mail: Sequence[Inbound]) -> None:
        """Store what came in; committed when this returns. What came before is ignored.

        Raises DatabaseUnavailable: then the mail has to come again.
        """
        ...

    async def is_current(self, peer: Peer, press: Press) -> bool:
        """Whether a button still has an effect: quick, before any work."""
        ...


class Channel(Protocol[Step]):
    """An adapter."""

    name: str  # Peer.channel
    realm: str  # Peer.realm, known once `open` was called
    caps: Caps

    @property
    def address(self) -> str:
        """Where people can find us there, as an https address; "" for none, or not yet known."""
        ...

    async def open(self) -> None:
        """Say hello to the channel: learn who we are there, publish menus and profiles.

        Raises ChannelDown, TryAgain.
        """
        ...

    async def run(self, office: Office) -> None:
        """Take mail in, and acknowledge it only after the office has stored it; never returns.

        Raises ChannelDown where an operator has to look.
        """
        ...

    def plan(self, letter: Letter, shown: Shown | None) -> Sequence[Step]:
        """The steps that a letter takes, in order. Pure: the same again gives the same.

        `shown` is what stands in the letter's slot; None where there is none, or it is gone.
        """
        ...

    async def perform(self, peer: Peer, step: Step) -> Outcome:
        """Take one step."""
        ...

    async def preview(self, peer: Peer, stream: int, text: str) -> None:
        """Show the text so far of an answer that is being made. May be lost."""
        ...

    async def show_activity(self, peer: Peer) -> None:
        """Show that something is being done. May be lost."""
        ...

    async def fetch(self, file: File, bytes_max: int) -> bytes:
        """The content of a file that came in. Raises FileTooBig, TryAgain."""
        ...

    async def aclose(self) -> None:
        """Release what the adapter holds."""
        ...


class ChannelDown(Exception):
    """The channel refuses us, and an operator has to look; a rival is a program in our place."""

    def __init__(self, reason: str, *, is_rival: bool = False) -> None:
        super().__init__(reason)
        self.is_rival = is_rival


class FileTooBig(Exception):
    """The file is larger than was asked for."""


class TryAgain(Exception):
    """The channel could not be asked now."""
