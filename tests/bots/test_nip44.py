import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots import nip44
from bots.nip01 import Signer

FILE = Path(__file__).parent.parent / "vectors" / "nip44.vectors.json"
PUBLISHED = "269ed0f69e4c192512cc779e78c555090cebc7c785b609e338a62afc3ce25040"
VECTORS = json.loads(FILE.read_text("utf-8"))["v2"]
VALID, INVALID = VECTORS["valid"], VECTORS["invalid"]

Case = dict[str, Any]


def pubkey_of(secret: str) -> str:

    return Signer(bytes.fromhex(secret)).pubkey


def long_payload(text: bytes) -> str:
    """A payload in the form with four bytes of length, as the text of NIP-44 of 2026 has it."""
    key, nonce = bytes(32), bytes(32)
    cipher_key, cipher_nonce, mac_key = nip44.message_keys(key, nonce)
    padding = bytes(nip44.padded_length(len(text)) - len(text))
    plain = bytes(2) + len(text).to_bytes(4, "big") + text + padding
    hidden = nip44._chacha20(cipher_key, cipher_nonce, plain)
    mac = nip44.hmac.digest(mac_key, nonce + hidden, "sha256")
    return nip44.base64.b64encode(b"\x02" + nonce + hidden + mac).decode()


def test_the_vectors_are_those_that_nip_44_names() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == PUBLISHED


@pytest.mark.parametrize("case", VALID["get_conversation_key"])
def test_a_conversation_key_is_the_published_one(case: Case) -> None:
    key = nip44.conversation_key(bytes.fromhex(case["sec1"]), case["pub2"])

    assert key.hex() == case["conversation_key"]


@pytest.mark.parametrize("case", VALID["get_message_keys"]["keys"])
def test_the_keys_of_a_message_are_the_published_ones(case: Case) -> None:
    key = bytes.fromhex(VALID["get_message_keys"]["conversation_key"])

    found = nip44.message_keys(key, bytes.fromhex(case["nonce"]))

    names = ("chacha_key", "chacha_nonce", "hmac_key")
    assert [each.hex() for each in found] == [case[name] for name in names]


@pytest.mark.parametrize(("length", "padded"), VALID["calc_padded_len"])
def test_a_length_is_padded_as_published(length: int, padded: int) -> None:
    assert nip44.padded_length(length) == padded


@pytest.mark.parametrize("case", VALID["encrypt_decrypt"])
def test_a_text_becomes_the_published_payload_and_comes_back(case: Case) -> None:
    first = nip44.conversation_key(bytes.fromhex(case["sec1"]), pubkey_of(case["sec2"]))
    second = nip44.conversation_key(bytes.fromhex(case["sec2"]), pubkey_of(case["sec1"]))

    payload = nip44.encrypt(case["plaintext"], key=first, nonce=bytes.fromhex(case["nonce"]))

    assert first == second == bytes.fromhex(case["conversation_key"])
    assert payload == case["payload"]
    assert nip44.decrypt(payload, key=second) == case["plaintext"]


@pytest.mark.parametrize("case", VALID["encrypt_decrypt_long_msg"])
def test_a_long_text_becomes_the_published_payload_and_comes_back(case: Case) -> None:
    key, nonce = bytes.fromhex(case["conversation_key"]), bytes.fromhex(case["nonce"])
    text = case["pattern"] * case["repeat"]

    payload = nip44.encrypt(text, key=key, nonce=nonce)

    assert hashlib.sha256(text.encode()).hexdigest() == case["plaintext_sha256"]
    assert hashlib.sha256(payload.encode()).hexdigest() == case["payload_sha256"]
    assert nip44.decrypt(payload, key=key) == text


@pytest.mark.parametrize("length", INVALID["encrypt_msg_lengths"])
def test_a_text_of_a_forbidden_length_is_not_encrypted(length: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        nip44.encrypt("x" * length, key=bytes(32), nonce=bytes(32))


@pytest.mark.parametrize("case", INVALID["get_conversation_key"], ids=lambda case: case["note"])
def test_what_is_no_key_gives_no_conversation_key(case: Case) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - coincurve's own sentences
        nip44.conversation_key(bytes.fromhex(case["sec1"]), case["pub2"])


@pytest.mark.parametrize("case", INVALID["decrypt"], ids=lambda case: case["note"])
def test_a_bad_payload_is_refused_for_the_published_reason(case: Case) -> None:
    reason = case["note"].rstrip(" 0123456789").rstrip(":")

    with pytest.raises(nip44.Undecipherable, match=reason):
        nip44.decrypt(case["payload"], key=bytes.fromhex(case["conversation_key"]))


def test_the_longer_form_of_2026_is_read() -> None:
    text = "x" * 70_000

    assert nip44.decrypt(long_payload(text.encode()), key=bytes(32)) == text


def test_the_longer_form_is_refused_for_a_text_that_needs_it_not() -> None:
    with pytest.raises(nip44.Undecipherable, match="padding"):
        nip44.decrypt(long_payload(b"short"), key=bytes(32))


def test_a_payload_of_a_megabyte_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(nip44.Undecipherable, match="payload length"):
        nip44.decrypt("A" * 2**20, key=bytes(32))


@given(text=st.text(min_size=1, max_size=500), key=st.binary(min_size=32, max_size=32))
def test_whatever_is_encrypted_comes_back(text: str, key: bytes) -> None:
    assert nip44.decrypt(nip44.encrypt(text, key=key, nonce=key[::-1]), key=key) == text


@given(at=st.integers(0, 131), letter=st.sampled_from("A/+9=\0é"))
def test_a_payload_with_another_letter_is_another_payload(at: int, letter: str) -> None:
    payload = nip44.encrypt("hello", key=bytes(32), nonce=bytes(32))
    changed = payload[:at] + letter + payload[at + 1 :]

    if changed != payload:
        with pytest.raises(nip44.Undecipherable):
            nip44.decrypt(changed, key=bytes(32))
