"""Encodings and checksums: base64, hex, URL, HTML, ROT13; SHA, MD5, BLAKE2, CRC-32."""

import base64
import binascii
import codecs as text_codecs
import hashlib
import html
import re
import urllib.parse
import zlib
from collections.abc import Callable, Mapping

from core.agents.tools.task import Cannot, Done, Outcome, Task

_CODES = r"base64(?:[- ]?url)?|base32|hex(?:adecimal)?|binary|url|percent|html|rot-?13"
_ENCODE = re.compile(
    rf"(?P<code>{_CODES})[- ]?(?:encode|kodiere|escape)\b"
    rf"|(?:encode|convert|escape|turn|write|kodiere|wandle)\b\s*(?P<mid>.*?)\s*"
    rf"\b(?:to|in|into|as|with|for|nach|zu)\s+(?P<code_behind>{_CODES})\b"
    r"|(?P<code_alone>base64|rot-?13)\b",
    re.IGNORECASE,
)
_DECODE = re.compile(
    rf"(?:decode|dekodiere)\b\s*(?P<mid>\S+)\s*\b(?:from|as|aus|von)\s+(?P<code_behind>{_CODES})\b"
    rf"|(?:(?P<code>{_CODES})[- ]?(?:decode|unescape|dekodiere)"
    rf"|(?:decode|unescape|dekodiere)\b.{{0,30}}?\b(?P<code_alone>{_CODES}))\b"
    r"(?:\s+(?:string|text|value))?",
    re.IGNORECASE,
)
_HASHES = (
    r"(?P<hash>sha-?(?:1|224|256|384|512)|sha3-(?:224|256|384|512)|md5|blake2[bs]|crc-?32"
    r"|sha)(?:sum)?"
)
_HASH = re.compile(
    rf"(?:(?:calculate|compute|give me|what is|make|berechne|hash)\b.{{0,40}}?)?\b{_HASHES}\b"
    r"(?:\s+(?:hash|digest|checksum|sum|pr\u00fcfsumme|hex))*(?:\s+(?:of|von|for))?",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_PLAIN_HASH = re.compile(r"(?:hash|checksum|pr\u00fcfsumme)\b(?:\s+of)?", re.IGNORECASE)


def encode_or_decode(task: Task) -> Outcome:
    """Write a text in another code, or read it back."""
    for pattern, table in ((_DECODE, _DECODERS), (_ENCODE, _ENCODERS)):
        match = pattern.match(task.ask)
        if match is None:
            continue
        named = match["code"] or match["code_behind"] or match["code_alone"]
        code = named.lower().replace("-", "").replace(" ", "")
        text = task.subject(match)
        if not text:
            return Cannot("There is no text to encode or decode.")
        return _applied(table[_ALIASES.get(code, code)], code, text)
    return None


def _applied(change: Callable[[str], str], code: str, text: str) -> Outcome:
    try:
        return Done(f"Apply {code}.", change(text))
    except ValueError:  # binascii.Error and UnicodeError are of its kind
        return Cannot(f"This text is not valid {code}.")


def checksum(task: Task) -> Outcome:
    """The checksum of a text's UTF-8 bytes, in hexadecimal digits."""
    match = _HASH.match(task.ask) or _PLAIN_HASH.match(task.ask)
    if match is None:
        return None
    text = task.subject(match)
    if not text:
        return Cannot("There is no text to take a checksum of.")
    name = (match.groupdict().get("hash") or "sha256").lower()
    return Done(f"Compute {name}.", _digest(name, text.encode("utf-8", "surrogatepass")))


def _digest(name: str, material: bytes) -> str:
    if name.startswith("crc"):
        return f"{zlib.crc32(material):08x}"
    if name.startswith("sha3"):
        name = name.replace("-", "_")
    name = {"sha": "sha256"}.get(name, name.replace("-", ""))
    return hashlib.new(name, material, usedforsecurity=False).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(raw: bytes) -> str:
    """Bytes as text where they are text, else as hexadecimal digits."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return f"hex: {raw.hex()}"
    return f"hex: {raw.hex()}" if _CONTROL.search(text) else text


def _from_base64(text: str) -> str:
    compact = "".join(text.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    padded = compact + "=" * (-len(compact) % 4)
    return _text(base64.b64decode(padded, validate=True))


def _from_binary(text: str) -> str:
    bits = "".join(text.split())
    if len(bits) % 8 or set(bits) - {"0", "1"}:
        raise ValueError
    return _text(bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)))


def _rot13(text: str) -> str:
    return text_codecs.encode(text, "rot13")


_ALIASES: Mapping[str, str] = {"hexadecimal": "hex", "percent": "url"}
_ENCODERS: Mapping[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(_bytes(text)).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(_bytes(text)).decode().rstrip("="),
    "base32": lambda text: base64.b32encode(_bytes(text)).decode(),
    "hex": lambda text: _bytes(text).hex(),
    "binary": lambda text: " ".join(f"{byte:08b}" for byte in _bytes(text)),
    "url": lambda text: urllib.parse.quote(_bytes(text), safe=""),
    "html": html.escape,
    "rot13": _rot13,
}
_DECODERS: Mapping[str, Callable[[str], str]] = {
    "base64": _from_base64,
    "base64url": _from_base64,
    "base32": lambda text: _text(base64.b32decode("".join(text.split()), casefold=True)),
    "hex": lambda text: _text(binascii.unhexlify("".join(text.removeprefix("0x").split()))),
    "binary": _from_binary,
    "url": urllib.parse.unquote,
    "html": html.unescape,
    "rot13": _rot13,
}
