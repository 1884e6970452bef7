"""Loading the configuration: everything that is wrong is told at once, and then nothing starts.

The order is file, environment, secrets, each key by itself, the keys together. A sentence never
repeats the value of a secret.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from core.config_model import Config, ModelSettings
from core.config_rules import clashes
from core.config_sources import (
    Fault,
    Gathered,
    Key,
    KeyPath,
    all_keys,
    find_file,
    gather,
    nearest,
)

__all__ = ["Config", "ConfigFaults", "Fault", "find_file", "load", "secrets_of"]


_SENTENCES: Final[Mapping[str, str]] = {
    "extra_forbidden": "no such key",
    "value_error": "{error}",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "model_type": "must be a table",
    "too_short": "needs at least one entry",
}
_REPEATS_THE_VALUE: Final = frozenset({"literal_error", "greater_than_equal", "less_than_equal"})


class ConfigFaults(Exception):
    """The configuration cannot be used; `faults` holds everything that is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The settings of this server. Raises ConfigFaults with every fault.

    `path` is the file that was asked for; without it BOLTWORK_CONFIG, ./boltwork.toml or the
    development defaults hold. Reads files, and nothing else of the machine.
    """
    keys = tuple(all_keys(Config))
    found = gather(find_file(path, environ), environ, keys=keys)
    try:
        config = Config.model_validate(found.table)
        wrong = frozenset(found.unfetched)
    except ValidationError as error:
        details = _first_causes(error.errors(include_url=False))
        found.faults.extend(_describe(detail, found, keys) for detail in details)
        wrong = frozenset(detail["loc"] for detail in details) | found.unfetched
        config = Config.model_validate(_without(found.table, wrong))
    found.faults.extend(_contradictions(config, found, wrong))
    if found.faults:
        raise ConfigFaults(found.faults)
    return config


def secrets_of(config: Config) -> Iterator[str]:
    """Every secret in the settings that is not empty, for the log to keep quiet about."""
    for section in _sections(config):
        for name in type(section).model_fields:
            value = getattr(section, name)
            if isinstance(value, SecretStr) and value and section is not config.database:
                yield value.get_secret_value()
    if not config.database.is_sqlite:
        address = config.database.url.get_secret_value()
        yield address
        if password := urlsplit(address).password:
            yield password


def _sections(settings: BaseModel) -> Iterator[BaseModel]:
    yield settings
    for name in type(settings).model_fields:
        if isinstance(value := getattr(settings, name), BaseModel):
            yield from _sections(value)


def _first_causes(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without the lists that are only called too short because their entries are wrong."""
    inside = {detail["loc"][:size] for detail in details for size in range(len(detail["loc"]))}
    return [
        detail
        for detail in details
        if not (detail["type"] == "too_short" and detail["loc"] in inside)
    ]


def _describe(detail: ErrorDetails, found: Gathered, keys: tuple[Key, ...]) -> Fault:
    """Say in our words what pydantic found; only values that cannot be secret are repeated."""
    place, context = detail["loc"], detail.get("ctx", {})
    ours = _SENTENCES.get(detail["type"])
    sentence = ours.format_map(context) if ours else detail["msg"]
    if detail["type"] == "extra_forbidden":
        sentence += _hint(place, keys)
    elif detail["type"] in _REPEATS_THE_VALUE:
        sentence += f" (it is {detail['input']!r})"
    return Fault(_dotted(place), sentence + _origin(place, found))


def _contradictions(config: Config, found: Gathered, wrong: frozenset[KeyPath]) -> Iterator[Fault]:
    """The clashes, but for those about keys that are wrong already."""
    spoiled = {_dotted(_key_of(place)) for place in wrong}
    for clash in clashes(config):
        if not any(_overlap(key, other) for key in clash.keys for other in spoiled):
            place = tuple(clash.keys[0].split("."))
            yield Fault(clash.keys[0], clash.sentence + _origin(place, found))


def _without(table: dict[str, Any], wrong: frozenset[KeyPath]) -> dict[str, Any]:
    """The settings without the keys that are wrong, so that the rest can be judged too."""
    for place in map(_key_of, wrong):
        inner = table
        for name in place[:-1]:
            inner = inner.get(name, {})
        inner.pop(place[-1], None)
    return table


def _key_of(place: KeyPath) -> tuple[str, ...]:
    """The key to which a place inside a list belongs: ("models", 0, "id") is in ("models",)."""
    names = []
    for step in place:
        if isinstance(step, int):
            break
        names.append(step)
    return tuple(names)


def _overlap(key: str, other: str) -> bool:
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def _dotted(place: KeyPath) -> str:
    """A place as the operator writes it, for example `models[0].id`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return "".join(steps).removeprefix(".")


def _hint(place: KeyPath, keys: tuple[Key, ...]) -> str:
    """What an unknown key was probably meant to be: a neighbour, or the same name elsewhere."""
    section, name = _key_of(place)[:-1], str(place[-1])
    if isinstance(place[0], str) and place[0] == "models":
        return nearest(name, ModelSettings.model_fields)
    neighbours = [key.path[-1] for key in keys if key.path[:-1] == section]
    elsewhere = [".".join(key.path) for key in keys if key.path[-1] == name]
    return nearest(name, neighbours) or (f"; did you mean {elsewhere[0]}?" if elsewhere else "")


def _origin(place: KeyPath, found: Gathered) -> str:
    """Which variable set it, where one did."""
    for size in range(len(place), 0, -1):
        if variable := found.variables.get(place[:size]):
            return f" (set by {variable})"
    return ""
