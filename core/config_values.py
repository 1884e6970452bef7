"""The kinds of values that settings have, and what makes each of them wrong.

Every check returns the value or raises ValueError with one sentence that repeats nothing of a
value that could be secret.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from core.values.keys import parse_secret
from core.values.money import SATS_MAX

Network = IPv4Network | IPv6Network

_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_PUBLIC_KEY = re.compile(r"npub1[02-9ac-hj-np-z]{58}|[0-9a-f]{64}")
_PRIVATE_KEY = re.compile(r"nsec1[02-9ac-hj-np-z]{58}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a listener binds; port 0 takes a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def at(self, port: int) -> "Listen":
        """The same place with the port that was really taken."""
        return Listen(self.host, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _parse_listen(value: object) -> Listen:
    if isinstance(value, Listen):
        return value
    match = _HOST_PORT.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > 65535:
        raise ValueError("must be host:port, for example 127.0.0.1:8402 or [::1]:8402")
    return Listen(match[1].strip("[]"), int(match[2]))


def _parse_network(value: object) -> Network:
    try:
        return ip_network(str(value), strict=False)
    except ValueError:
        raise ValueError("must be an IP address or a network such as 10.0.0.0/8") from None


def _check_http_url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise ValueError("must be an http:// or https:// address without query")
    return value.rstrip("/")


def _check_http_url_or_empty(value: str) -> str:
    return _check_http_url(value) if value else value


def _check_origin(value: str) -> str:
    if value == "*":
        return value
    if urlsplit(_check_http_url(value)).path or value.endswith("/"):
        raise ValueError("must be an origin such as https://example.org, without a path, or *")
    return value


def _check_relay_url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in {"ws", "wss"} or not url.hostname:
        raise ValueError("must be a ws:// or wss:// address")
    return value


def _check_host_port(value: str) -> str:
    if _HOST_PORT.fullmatch(value) is None:
        raise ValueError("must be host:port, for example 127.0.0.1:8080")
    return value


def _check_model_id(value: str) -> str:
    if _MODEL_ID.fullmatch(value) is None:
        raise ValueError("must be 1-128 letters, digits and . _ : / @ + - (tokens list model ids)")
    return value


def _check_public_key(value: str) -> str:
    if _PUBLIC_KEY.fullmatch(value) is None:
        raise ValueError("must be a Nostr public key: npub1... or 64 lower-case hex digits")
    return value


def _check_private_key(value: SecretStr) -> SecretStr:
    if value and _PRIVATE_KEY.fullmatch(value.get_secret_value()) is None:
        raise ValueError("must be a Nostr secret key: nsec1... or 64 lower-case hex digits")
    return value


def _check_database_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if url != "sqlite" and not url.startswith(("postgresql://", "postgres://")):
        raise ValueError('must be "sqlite" or a postgresql:// address')
    return value


def _check_server_secret(value: SecretStr) -> SecretStr:
    if value:
        parse_secret(value.get_secret_value())
    return value


def _check_visible(value: SecretStr) -> SecretStr:
    if not all("!" <= character <= "~" for character in value.get_secret_value()):
        raise ValueError("must be visible ASCII without spaces")
    return value


Sats = Annotated[int, Field(ge=0, le=SATS_MAX)]
PositiveSats = Annotated[int, Field(ge=1, le=SATS_MAX)]
MsatPrice = Annotated[int, Field(ge=0, le=10**12)]
Count = Annotated[int, Field(ge=0, le=10**9)]
PositiveCount = Annotated[int, Field(ge=1, le=10**9)]
ListenAt = Annotated[Listen, BeforeValidator(_parse_listen)]
ProxyNetwork = Annotated[Network, BeforeValidator(_parse_network)]
HttpUrl = Annotated[str, AfterValidator(_check_http_url)]
HttpUrlOrEmpty = Annotated[str, AfterValidator(_check_http_url_or_empty)]
Origin = Annotated[str, AfterValidator(_check_origin)]
RelayUrl = Annotated[str, AfterValidator(_check_relay_url)]
HostPort = Annotated[str, AfterValidator(_check_host_port)]
ModelId = Annotated[str, AfterValidator(_check_model_id)]
PublicKey = Annotated[str, AfterValidator(_check_public_key)]
PrivateKey = Annotated[SecretStr, AfterValidator(_check_private_key)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_check_database_url)]
ServerSecret = Annotated[SecretStr, AfterValidator(_check_server_secret)]
Secret = Annotated[SecretStr, AfterValidator(_check_visible)]
