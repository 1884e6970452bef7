"""What the conversation says, in every language: the texts stand in `bots/texts`."""

from collections.abc import Sequence
from importlib.resources import files

from core.values.texts import Catalogue, charged_sats, read, sats

__all__ = ["Catalogue", "charged_sats", "load", "sats"]


def load(languages: Sequence[str]) -> Catalogue:
    """The texts in these languages; English is always among them, for what another lacks."""
    return read(files("bots") / "texts", languages)
