"""Where settings come from: a TOML file, the environment over it, and secrets kept elsewhere.

The environment overrides the file key by key: BOLTWORK_<SECTION>__<KEY>, lists and tables as JSON,
a table's keys one by one, a list as a whole. A secret may be `env:NAME` or `file:PATH`.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, SecretStr

PREFIX = "BOLTWORK_"
FILE_VARIABLE = "BOLTWORK_CONFIG"

KeyPath = tuple[str | int, ...]
Table = dict[str, Any]

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, and a sentence that says what is wanted instead."""

    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Key:
    """One place in the settings: a section or a key of it."""

    path: tuple[str, ...]
    annotation: Any

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return PREFIX + "__".join(self.path).upper()


@dataclass(slots=True)
class Gathered:
    """The settings as they were found, before anybody judged them."""

    table: Table
    faults: list[Fault] = field(default_factory=list)
    variables: dict[KeyPath, str] = field(default_factory=dict)
    unfetched: set[KeyPath] = field(default_factory=set)


def find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: the one asked for, else ./boltwork.toml if there is one."""
    if path is not None:
        return path
    if named := environ.get(FILE_VARIABLE):
        return Path(named)
    here = Path("boltwork.toml")
    return here if here.exists() else None


def gather(file: Path | None, environ: Mapping[str, str], *, keys: Iterable[Key]) -> Gathered:
    """Read the file, lay the environment over it, fetch the secrets that are kept elsewhere."""
    known = tuple(keys)
    found = Gathered({})
    if file is not None:
        _read_file(found, file)
    _overlay(found, environ, known)
    referred = _fetch_secrets(found, environ, known)
    _refuse_unknown_variables(found, environ, {key.variable for key in known} | referred)
    return found


def all_keys(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[Key]:
    """Every section and key below `model`, sections before their keys."""
    for name, about in model.model_fields.items():
        key = Key((*path, name), about.annotation)
        yield key
        if _is_section(key.annotation):
            yield from all_keys(key.annotation, key.path)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the known word that was probably meant, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _read_file(found: Gathered, file: Path) -> None:
    try:
        found.table = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        found.faults.append(Fault(str(file), f"cannot be read ({error.strerror})"))
    except UnicodeDecodeError:
        found.faults.append(Fault(str(file), "is not UTF-8 text"))
    except tomllib.TOMLDecodeError as error:
        found.faults.append(Fault(str(file), f"is not TOML: {error}"))


def _overlay(found: Gathered, environ: Mapping[str, str], keys: tuple[Key, ...]) -> None:
    """Put each variable in its place; a section's JSON goes before the section's single keys."""
    for key in sorted(keys, key=lambda key: len(key.path)):
        if key.variable not in environ:
            continue
        found.variables[key.path] = key.variable
        table = found.table
        for name in key.path[:-1]:
            inner = table.get(name)
            table[name] = dict(inner) if isinstance(inner, dict) else {}
            table = table[name]
        value = _read_variable(environ[key.variable], key.annotation)
        if isinstance(old := table.get(key.path[-1]), dict) and isinstance(value, dict):
            value = {**old, **value}
        table[key.path[-1]] = value


def _read_variable(text: str, annotation: Any) -> Any:
    """The value that the text stands for; what does not fit stays text and is judged later."""
    if annotation is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if annotation is int:
        return int(text) if _WHOLE_NUMBER.fullmatch(text) else text
    if get_origin(annotation) is tuple or _is_section(annotation):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _fetch_secrets(found: Gathered, environ: Mapping[str, str], keys: tuple[Key, ...]) -> set[str]:
    """Replace `env:NAME` and `file:PATH`; return the names of the variables that were used."""
    names = set()
    for key in keys:
        table: Any = found.table
        for name in key.path[:-1]:
            table = table.get(name) if isinstance(table, dict) else None
        value = table.get(key.path[-1]) if isinstance(table, dict) else None
        if key.annotation is not SecretStr or not isinstance(value, str):
            continue
        kind, _, place = value.partition(":")
        if kind == "env":
            names.add(place)
            secret = environ.get(place, "")
            trouble = f"the environment variable {place} is not set or empty"
        elif kind == "file":
            secret, trouble = _read_secret_file(Path(place))
        else:
            continue
        table[key.path[-1]] = secret
        if not secret:
            found.unfetched.add(key.path)
            found.faults.append(Fault(".".join(key.path), trouble))
    return names


def _read_secret_file(file: Path) -> tuple[str, str]:
    try:
        return file.read_text("utf-8").strip(), f"the file {file} is empty"
    except OSError as error:
        return "", f"the file {file} cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        return "", f"the file {file} is not UTF-8 text"


def _refuse_unknown_variables(found: Gathered, environ: Mapping[str, str], known: set[str]) -> None:
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and name != FILE_VARIABLE:
            found.faults.append(Fault(name, "no such setting" + _meant(name, known)))


def _meant(name: str, known: set[str]) -> str:
    """The hint for a variable; the prefix that all share says nothing."""
    hint = nearest(name.removeprefix(PREFIX), (other.removeprefix(PREFIX) for other in known))
    return hint.replace("mean ", f"mean {PREFIX}", 1)
