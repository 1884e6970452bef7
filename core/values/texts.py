"""The words we say: a catalogue of texts in several languages, and how amounts are written in them.

A folder holds one TOML file for each language with the same keys, such as `check.card`. Texts have
places of the form `{name}`; what stands there is text, too, and is never read for places itself.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Final

from core.values.money import Msat, charge_sats, payout_sats

SOURCE: Final = "en"  # the language that has every key
_THOUSANDS: Final[Mapping[str, str]] = {"en": ",", "de": "."}
_THIN_SPACE: Final = "\u202f"  # what ISO 80000-1 puts between thousands


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Texts by language, then by key."""

    texts: Mapping[str, Mapping[str, str]]

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that can be picked, the source first."""
        return tuple(self.texts)

    def say(self, key: str, lang: str, **values: object) -> str:
        """The text `key` in a language, or in English where that lacks it.

        Raises KeyError for a key that no file has, and for a place without its value.
        """
        text = self.texts.get(lang, {}).get(key)
        return (self.texts[SOURCE][key] if text is None else text).format_map(values)

    def pick(self, wanted: str | None) -> str:
        """The language for a tag such as "de-AT"; English where we do not have it."""
        language = (wanted or SOURCE).replace("_", "-").partition("-")[0].lower()
        return language if language in self.texts else SOURCE


def read(folder: Traversable, languages: Sequence[str]) -> Catalogue:
    """The catalogue of a folder, in these languages and the source."""
    wanted = dict.fromkeys([SOURCE, *languages])
    return Catalogue(
        {lang: _texts((folder / f"{lang}.toml").read_text("utf-8")) for lang in wanted}
    )


def sats(amount_msat: int, lang: str) -> str:
    """What somebody has, in whole satoshi, rounded down: "1,234 sat"."""
    return _written(payout_sats(Msat(amount_msat)), lang)


def charged_sats(amount_msat: int, lang: str) -> str:
    """What something costs, in whole satoshi, rounded up: "1,234 sat"."""
    return _written(charge_sats(Msat(amount_msat)), lang)


def _written(whole: int, lang: str) -> str:
    return f"{whole:,} sat".replace(",", _THOUSANDS.get(lang, _THIN_SPACE))


def _texts(toml: str) -> dict[str, str]:
    return dict(_flat(tomllib.loads(toml)))


def _flat(table: Mapping[str, object], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        match value:
            case dict():
                yield from _flat(value, f"{path}{name}.")
            case str():
                yield f"{path}{name}", value.removesuffix("\n")
            case _:
                raise TypeError(f"{path}{name} is no text")
