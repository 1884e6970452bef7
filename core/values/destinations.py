"""Destinations: what a customer may name to be paid at, read strictly and without a call.

An invoice, a Lightning address (`user@host`), an LNURL or a session. Of an address that a stranger
names, only `https` on its usual port is left, at a name that has dots and is no number: nothing
here can spell a host of our own network, in whatever notation. What such a name resolves to is
checked where it is called. Source: LUD-01, LUD-16, BOLT 11; RFC 3986 for the parts of a URL.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from core.values import bech32, bolt11
from core.values.bech32 import Bech32Error, from_octets, to_octets
from core.values.bolt11 import Bolt11, Bolt11Error, Network
from core.values.errors import InvalidRequest
from core.values.ids import is_id
from core.values.money import MSAT_PER_SAT, Msat

EXPIRY_MARGIN_S = 30  # an invoice must live this long still, for the payment to be begun in time


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place on the web that may be called; `target` is path and query, from the first `/`."""

    scheme: Literal["http", "https"]
    host: str  # in lower case; an IPv6 address is without its brackets
    port: int
    target: str
    is_insecure: bool  # the operator lists it: it may be plain HTTP, and private


@dataclass(frozen=True, slots=True)
class ToInvoice:
    """An invoice, `text` in lower case; whether it may be paid is for `check_invoice` to say."""

    text: str
    bolt11: Bolt11


@dataclass(frozen=True, slots=True)
class ToAddress:
    """A Lightning address or an LNURL: whoever answers at `endpoint` makes the invoice."""

    text: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class ToSession:
    """The balance of a session."""

    session_id: str


Destination = ToInvoice | ToAddress | ToSession


@dataclass(frozen=True, slots=True)
class Target:
    """An invoice that was read and found payable; `destination` is what the customer named."""

    destination: str
    bolt11: str
    payment_hash: str
    amount: Msat
    expires_at_ms: int

    @classmethod
    def of(cls, destination: str, invoice: ToInvoice, amount: Msat) -> "Target":
        """The target that this invoice is, whose amount was found to be this one."""
        read = invoice.bolt11
        return cls(destination, invoice.text, read.payment_hash, amount, read.expires_at_ms)


def parse(text: str, *, insecure_hosts: Collection[str], pointer: str = "/to") -> Destination:
    """The destination that `text` names, whether or not `lightning:` stands before it.

    `insecure_hosts` are `host:port` that may be called without TLS and on a private network.
    Raises InvalidRequest at `pointer`.
    """
    if is_id("ses", text):
        return ToSession(text)
    named = _SCHEME.sub("", text)
    lower = named.lower()
    if "@" in lower:
        return _lightning_address(named, insecure_hosts, pointer)
    if lower.startswith("lnurl1"):
        return _lnurl(named, insecure_hosts, pointer)
    if lower.startswith(("lnbc", "lntb")):
        return _invoice(named, pointer)
    raise InvalidRequest(
        "A destination is a Lightning invoice, user@host, lnurl1... or the id of a session.",
        pointer=pointer,
    )


def parse_address(text: str, *, insecure_hosts: Collection[str], pointer: str = "/to") -> ToAddress:
    """The Lightning address or LNURL that `text` names, and nothing else.

    Raises InvalidRequest at `pointer`.
    """
    destination = parse(text, insecure_hosts=insecure_hosts, pointer=pointer)
    if not isinstance(destination, ToAddress):
        raise InvalidRequest("This has to be user@host or lnurl1...", pointer=pointer)
    return destination


def check_invoice(
    invoice: Bolt11, *, network: Network, now_ms: int, amount: Msat | None, pointer: str = "/to"
) -> Msat:
    """The amount of an invoice that may be paid now; `amount` is what it must be over, if given.

    Raises InvalidRequest for another network or amount, for an invoice without an amount or
    over parts of a satoshi, and for one that has expired or is about to.
    """
    if invoice.network != network:
        raise InvalidRequest(
            f"The invoice is for {invoice.network}, this server pays on {network}.", pointer=pointer
        )
    if invoice.amount is None:
        raise InvalidRequest("The invoice names no amount.", pointer=pointer)
    if invoice.amount % MSAT_PER_SAT:
        raise InvalidRequest("The invoice is not over whole satoshi.", pointer=pointer)
    if invoice.expires_at_ms < now_ms + EXPIRY_MARGIN_S * 1000:
        raise InvalidRequest(
            f"The invoice has expired, or does so within {EXPIRY_MARGIN_S} seconds.",
            pointer=pointer,
        )
    if amount is not None and invoice.amount != amount:
        raise InvalidRequest(
            f"The invoice is over {invoice.amount} msat, but {amount} msat are to be paid.",
            pointer=pointer,
        )
    return invoice.amount


def endpoint_of(url: str, insecure_hosts: Collection[str]) -> Endpoint | None:
    """The place that a URL names, or None if it may not be called."""
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme: Literal["http", "https"] = "https" if match["scheme"].lower() == "https" else "http"
    usual_port = _USUAL_PORTS[scheme]
    host = match["host"].lower()
    port = int(match["port"] or usual_port)
    is_insecure = _is_listed(f"{host}:{port}", insecure_hosts)
    if not is_insecure and (scheme != "https" or port != usual_port or not _is_public_name(host)):
        return None
    target = match["target"]
    return Endpoint(
        scheme=scheme,
        host=host.strip("[]"),
        port=port,
        target=target if target.startswith("/") else f"/{target}",
        is_insecure=is_insecure,
    )


def lnurl_of(url: str) -> str:
    """The URL as an LNURL in lower case; QR codes are smaller with it in upper case."""
    return bech32.encode("lnurl", from_octets(url.encode()))


def _lightning_address(named: str, insecure_hosts: Collection[str], pointer: str) -> ToAddress:
    match = _LIGHTNING_ADDRESS.fullmatch(named)
    if match is not None:
        user, host = match["user"].lower(), match["host"].lower()
        scheme = "http" if _is_listed(host, insecure_hosts) else "https"
        endpoint = endpoint_of(f"{scheme}://{host}/.well-known/lnurlp/{user}", insecure_hosts)
        if endpoint is not None:
            return ToAddress(f"{user}@{host}", endpoint)
    raise InvalidRequest(
        "A Lightning address is user@host: the host a public name without a port, the user"
        " written with the letters a to z, digits and - _ . +.",
        pointer=pointer,
    )


def _lnurl(named: str, insecure_hosts: Collection[str], pointer: str) -> ToAddress:
    try:
        hrp, words = bech32.decode(named, length_max=_LNURL_LENGTH_MAX)
        url = to_octets(words).decode("ascii")
    except (Bech32Error, UnicodeDecodeError):
        raise InvalidRequest("The LNURL was mistyped or cut off.", pointer=pointer) from None
    endpoint = endpoint_of(url, insecure_hosts) if hrp == "lnurl" else None
    if endpoint is None:
        raise InvalidRequest(
            "An LNURL holds an https:// address at a public name, without a port or a user name.",
            pointer=pointer,
        )
    return ToAddress(named.lower(), endpoint)


def _invoice(named: str, pointer: str) -> ToInvoice:
    try:
        return ToInvoice(named.lower(), bolt11.decode(named))
    except Bolt11Error as fault:
        raise InvalidRequest(str(fault), pointer=pointer) from None


def _is_listed(host_port: str, insecure_hosts: Collection[str]) -> bool:
    return any(host_port == listed.lower() for listed in insecure_hosts)


def _is_public_name(host: str) -> bool:
    return len(host) <= _NAME_LENGTH_MAX and _NAME.fullmatch(host) is not None


_SCHEME = re.compile(r"\Alightning:", re.IGNORECASE)
_LIGHTNING_ADDRESS = re.compile(
    r"(?P<user>[a-z0-9_.+-]{1,64})@(?P<host>[a-z0-9_.:\[\]-]{1,300})", re.IGNORECASE | re.ASCII
)
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:/[a-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[a-z0-9._~!$&'()*+,;=:@%/?-]*)?)",
    re.IGNORECASE | re.ASCII,
)
_USUAL_PORTS: Final = {"https": 443, "http": 80}
# The last label begins with a letter, so no notation of an IPv4 address is a name: RFC 3696, 2.
_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])")
_NAME_LENGTH_MAX = 253
_LNURL_LENGTH_MAX = 4096
