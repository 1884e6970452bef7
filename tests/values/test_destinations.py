"""Destinations: what customers name, and what nobody may name."""

import pytest

from core.values.bolt11 import Network, decode, encode_and_sign
from core.values.destinations import (
    Endpoint,
    ToAddress,
    ToInvoice,
    ToSession,
    check_invoice,
    endpoint_of,
    lnurl_of,
    parse,
)
from core.values.errors import InvalidRequest
from core.values.ids import new_id
from core.values.money import Msat, from_sats

KEY = bytes.fromhex("22" * 32)
NOW_S = 1_800_000_000
NOW_MS = NOW_S * 1000
PRICE = from_sats(21)
LISTED = ("127.0.0.1:8080", "localhost:8443", "[::1]:8080", "Receiver.example:443")


def invoice(
    amount: Msat | None = PRICE, *, network: Network = "regtest", expiry_s: int = 600
) -> str:
    return encode_and_sign(
        KEY,
        network=network,
        amount=amount,
        created_at_s=NOW_S,
        payment_hash="ab" * 32,
        payment_secret="cd" * 32,
        description="tea",
        expiry_s=expiry_s,
    )


@pytest.mark.parametrize("network", ["mainnet", "testnet", "signet", "regtest"])
def test_an_invoice_of_every_network_is_read(network):
    text = invoice(network=network)

    assert parse(text, insecure_hosts=()) == ToInvoice(text, decode(text))


@pytest.mark.parametrize("prefix", ["", "lightning:", "LIGHTNING:", "Lightning:"])
@pytest.mark.parametrize("write", [str.lower, str.upper])
def test_one_invoice_is_one_text_however_it_is_written(prefix, write):
    text = invoice()

    assert parse(prefix + write(text), insecure_hosts=()) == ToInvoice(text, decode(text))


def test_a_session_is_named_by_its_id():
    session_id = new_id("ses")

    assert parse(session_id, insecure_hosts=()) == ToSession(session_id)


@pytest.mark.parametrize(
    "text", ["alice+tea@pay.example.org", "lightning:Alice+Tea@Pay.Example.ORG"]
)
def test_a_lightning_address_is_asked_at_its_well_known_place(text):
    named = parse(text, insecure_hosts=())

    place = Endpoint("https", "pay.example.org", 443, "/.well-known/lnurlp/alice+tea", False)
    assert named == ToAddress("alice+tea@pay.example.org", place)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("bob@127.0.0.1:8080", "127.0.0.1", 8080), ("bob@[::1]:8080", "::1", 8080)],
)
def test_a_listed_host_is_asked_in_plain_http(text, host, port):
    named = parse(text, insecure_hosts=LISTED)

    assert named == ToAddress(text, Endpoint("http", host, port, "/.well-known/lnurlp/bob", True))


def test_a_listed_host_on_the_usual_port_keeps_tls():
    named = parse("bob@receiver.example", insecure_hosts=LISTED)

    assert isinstance(named, ToAddress)
    assert (named.endpoint.scheme, named.endpoint.is_insecure) == ("https", True)


# The example of LUD-01.
LUD_01_URL = (
    "https://service.com/api?q=3fc3645b439ce8e7f2553a69e5267081d96dcd340693afabe04be7b0ccd178df"
)
LUD_01_LNURL = (
    "LNURL1DP68GURN8GHJ7UM9WFMXJCM99E3K7MF0V9CXJ0M385EKVCENXC6R2C35XVUKXEFCV5MKVV34X5EKZD3EV56NYD3"
    "HXQURZEPEXEJXXEPNXSCRVWFNV9NXZCN9XQ6XYEFHVGCXXCMYXYMNSERXFQ5FNS"
)


def test_the_published_example_of_an_lnurl_is_written():
    assert lnurl_of(LUD_01_URL).upper() == LUD_01_LNURL


@pytest.mark.parametrize("text", [LUD_01_LNURL, LUD_01_LNURL.lower(), "lightning:" + LUD_01_LNURL])
def test_the_published_example_of_an_lnurl_is_read(text):
    named = parse(text, insecure_hosts=())

    target = LUD_01_URL.removeprefix("https://service.com")
    assert named == ToAddress(
        LUD_01_LNURL.lower(), Endpoint("https", "service.com", 443, target, False)
    )


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://pay.example", "/"),
        ("https://pay.example?a=1", "/?a=1"),
        ("HTTPS://Pay.Example:443/A%20b?c=/?@", "/A%20b?c=/?@"),
        ("https://xn--bcher-kva.example/", "/"),
    ],
)
def test_the_path_of_a_url_is_called_as_it_stands(url, target):
    endpoint = endpoint_of(url, ())

    assert endpoint is not None
    assert endpoint.target == target


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/x",
        "https://127.0.0.1:8080/x",
        "https://LOCALHOST:8443/x",
        "http://[::1]:8080/x",
    ],
)
def test_a_listed_url_may_be_plain_and_private(url):
    endpoint = endpoint_of(url, LISTED)

    assert endpoint is not None
    assert endpoint.is_insecure


HOSTILE_ADDRESSES = [
    "user@127.0.0.1",
    "user@127.0.0.1:443",
    "user@10.0.0.1",
    "user@169.254.169.254",
    "user@2130706433",
    "user@0177.0.0.1",
    "user@0x7f.0.0.1",
    "user@0x7f000001",
    "user@127.1",
    "user@pay.0x7f",
    "user@[::1]",
    "user@[::ffff:127.0.0.1]",
    "user@::1",
    "user@localhost",
    "user@localhost:8080",
    "user@localhost.",
    "user@receiver",
    "user@receiver.example:8443",
    "user@receiver.example.",
    "user@.example",
    "user@-receiver.example",
    "user@receiver..example",
    "user@receiver.example/",
    "user@receiver.example/@127.0.0.1",
    "user@receiver.example#",
    "user@receiver.example?x=1",
    "user@receiver.example\\@127.0.0.1",
    "user@receiver.example\n",
    "user@receiver.example%00",
    "user@receiver_.example",
    "user@127。0。0。1",
    "user@\u212aelvin.example",
    "\u00fcser@receiver.example",
    "user@other@receiver.example",
    "user:password@receiver.example",
    "../../admin@receiver.example",
    "us%2fer@receiver.example",
    "us er@receiver.example",
    "@receiver.example",
    "user@",
    "user@" + "a." * 150 + "example",
    "u" * 65 + "@receiver.example",
]


@pytest.mark.parametrize("text", HOSTILE_ADDRESSES)
def test_an_address_that_may_not_be_called_is_refused(text):
    with pytest.raises(InvalidRequest, match=r"^A Lightning address is user@host: ") as caught:
        parse(text, insecure_hosts=LISTED)

    assert caught.value.pointer == "/to"


HOSTILE_URLS = [
    "http://receiver.example/pay",
    "http://pay.example:443/pay",
    "https://receiver.example:8443/pay",
    "https://receiver.example:99999/pay",
    "https://user:password@receiver.example/pay",
    "https://receiver.example@127.0.0.1/pay",
    "https://127.0.0.1:8080@receiver.example/pay",
    "https://receiver.example\\@127.0.0.1/pay",
    "https://127.0.0.1\\.receiver.example/pay",
    "https://receiver.example#@127.0.0.1/pay",
    "https://127.0.0.1/pay",
    "https://127.0.0.1:8081/pay",
    "https://2130706433/pay",
    "https://0177.0.0.1/pay",
    "https://0x7f.1/pay",
    "https://[::1]/pay",
    "https://[::ffff:7f00:1]/pay",
    "https://[fe80::1%25eth0]/pay",
    "https://localhost/pay",
    "https://127%2e0.0.1/pay",
    "https:///pay",
    "https://receiver.example/pay\r\nX: y",
    "https://receiver.example/pay me",
    " https://receiver.example/pay",
    "//receiver.example/pay",
    "file:///etc/passwd",
    "ftp://receiver.example/pay",
    "gopher://127.0.0.1:8080/_x",
    "javascript:alert(1)",
    "receiver.example/pay",
]


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_an_lnurl_that_may_not_be_called_is_refused(url):
    with pytest.raises(InvalidRequest, match=r"^An LNURL holds an https:// address") as caught:
        parse(lnurl_of(url), insecure_hosts=LISTED)

    assert caught.value.pointer == "/to"


@pytest.mark.parametrize(
    "text",
    [
        LUD_01_LNURL[:-1],
        LUD_01_LNURL[:-1] + "q",
        LUD_01_LNURL.capitalize(),
        lnurl_of("https://receiver.example/ü"),
        lnurl_of("https://receiver.example/" + "a" * 4096),
        "lnurl1",
    ],
)
def test_an_lnurl_that_is_none_is_refused(text):
    with pytest.raises(InvalidRequest, match=r"^The LNURL was mistyped or cut off\.$"):
        parse(text, insecure_hosts=())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "lightning:",
        "lightning:lightning:" + LUD_01_LNURL,
        "https://receiver.example/pay",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "lno1qgsqvgnwgcg35z6ee2h3yczraddm72xrfua9uve2rlrm9deu7xyfzrc",
        "ses_1",
        "job_" + "0" * 26,
        "ses_" + "I" * 26,
    ],
)
def test_what_is_no_destination_is_refused(text):
    with pytest.raises(InvalidRequest, match=r"^A destination is a Lightning invoice, "):
        parse(text, insecure_hosts=())


def test_an_invoice_that_cannot_be_read_is_refused_with_the_reason():
    with pytest.raises(InvalidRequest, match=r"^The checksum does not match"):
        parse(invoice()[:-1], insecure_hosts=())


def test_the_fault_is_pointed_at_where_the_customer_wrote_it():
    with pytest.raises(InvalidRequest) as caught:
        parse("alice@localhost", insecure_hosts=(), pointer="/refundTo")

    assert caught.value.pointer == "/refundTo"


# Whether an invoice may be paid


def test_an_invoice_that_may_be_paid_tells_its_amount():
    amount = check_invoice(decode(invoice()), network="regtest", now_ms=NOW_MS, amount=None)

    assert amount == PRICE


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (invoice(network="mainnet"), "The invoice is for mainnet, this server pays on regtest."),
        (invoice(network="testnet"), "The invoice is for testnet, this server pays on regtest."),
        (invoice(None), "The invoice names no amount."),
        (invoice(Msat(21_001)), "The invoice is not over whole satoshi."),
        (invoice(from_sats(20)), "The invoice is over 20000 msat, but 21000 msat are to be paid."),
        (invoice(from_sats(22)), "The invoice is over 22000 msat, but 21000 msat are to be paid."),
        (invoice(expiry_s=0), "The invoice has expired, or does so within 30 seconds."),
        (invoice(expiry_s=29), "The invoice has expired, or does so within 30 seconds."),
    ],
)
def test_an_invoice_that_may_not_be_paid_is_refused_with_the_reason(text, sentence):
    with pytest.raises(InvalidRequest) as caught:
        check_invoice(decode(text), network="regtest", now_ms=NOW_MS, amount=PRICE)

    assert (caught.value.detail, caught.value.pointer) == (sentence, "/to")


def test_an_invoice_may_be_paid_until_thirty_seconds_before_it_expires():
    text = invoice(expiry_s=30)

    amount = check_invoice(decode(text), network="regtest", now_ms=NOW_MS, amount=PRICE)

    assert amount == PRICE
