"""LNURL-pay over TLS: who the server is counts by its name, not by the address behind it."""

import datetime as dt
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core.values.bolt11 import decode
from core.values.destinations import lnurl_of
from tests.wallets.lnurl_world import PRICE, ScriptedNames, World, lnurl_world

NAME = "pay.example"
NO_PROOF = "The server behind the address cannot prove by TLS that it is the one."


@dataclass(frozen=True)
class Identity:
    """A certificate for `pay.example`, and who trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    file = tmp_path_factory.mktemp("tls") / "identity.pem"
    write_identity(file)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return Identity(server, ssl.create_default_context(cafile=file))


def write_identity(file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )


@pytest.fixture
async def world(identity: Identity) -> AsyncIterator[World]:
    async with lnurl_world(identity.server) as world:
        yield world


def lnurl_at(host: str) -> str:
    return lnurl_of(f"https://{host}/.well-known/lnurlp/alice")


async def test_a_server_that_proves_its_name_is_believed(world, identity):
    host = f"{NAME}:{world.receiver.port}"
    names = ScriptedNames([["127.0.0.1"]])

    pr = await world.ask(lnurl_at(host), names=names, tls=identity.client, listed=[host])

    assert decode(pr).amount == PRICE
    assert {request.host for request in world.receiver.requests} == {host}


async def test_the_proof_of_another_name_is_not_enough(world, identity):
    host = f"other.example:{world.receiver.port}"
    names = ScriptedNames([["127.0.0.1"]])

    sentence = await world.refused(lnurl_at(host), names=names, tls=identity.client, listed=[host])

    assert sentence == NO_PROOF
    assert world.receiver.requests == []


async def test_a_certificate_that_nobody_vouches_for_is_not_enough(world):
    host = f"{NAME}:{world.receiver.port}"
    names = ScriptedNames([["127.0.0.1"]])

    assert await world.refused(lnurl_at(host), names=names, listed=[host]) == NO_PROOF
    assert world.receiver.requests == []


async def test_a_server_that_speaks_no_tls_is_not_enough():
    async with lnurl_world() as world:
        assert await world.refused(lnurl_at(world.receiver.host)) == NO_PROOF
