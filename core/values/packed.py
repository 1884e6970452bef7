"""Values as JSON and back: frozen dataclasses under their names, tuples, texts, integers, None.

The reader is told which classes there are, so that a stored text can make nothing else.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import orjson

_NAME = "is"  # the key that names the class


def pack(value: object) -> str:
    """The value as JSON. Raises TypeError for what is none of ours."""
    return orjson.dumps(_packed(value)).decode()


def unpack(text: str, classes: Mapping[str, type]) -> Any:
    """What `pack` was given. Raises ValueError for a text that it did not make of these classes."""
    return _unpacked(orjson.loads(text), classes)


def named(*classes: type) -> Mapping[str, type]:
    """The classes that a reader knows, by their names."""
    return {cls.__name__: cls for cls in classes}


def _packed(value: object) -> object:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, tuple):
        return [_packed(part) for part in value]
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _packed(getattr(value, field.name)) for field in fields(value)}
        return {_NAME: type(value).__name__, **parts}
    raise TypeError(f"no value of ours: {type(value).__name__}")


def _unpacked(value: Any, classes: Mapping[str, type]) -> Any:
    match value:
        case list():
            return tuple(_unpacked(part, classes) for part in value)
        case {"is": str(name), **parts}:
            cls = classes.get(name)
            if cls is None:
                raise ValueError(f"no class of ours: {name}")
            return cls(**{str(key): _unpacked(part, classes) for key, part in parts.items()})
        case dict():
            raise ValueError("an object without a class")
        case _:
            return value
