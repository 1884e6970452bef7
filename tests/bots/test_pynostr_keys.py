import nostr_sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.pynostr_keys import Illegible, decrypt_nip04, encrypt_nip04, npub, pubkey_of, signer_of
from tests.bots.nostr_people import person

ALICE, BOT = person("alice"), person("bot")


def test_a_secret_key_is_read_as_nsec_and_in_hex() -> None:
    nsec = nostr_sdk.SecretKey.parse(ALICE.secret.hex()).to_bech32()

    assert signer_of(nsec).pubkey == signer_of(ALICE.secret.hex()).pubkey == ALICE.pubkey


@pytest.mark.parametrize("text", ["", "nsec1", "nsec1qqqqqq", "zz" * 32, "00" * 32, "ff" * 32])
def test_what_is_no_secret_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="not a Nostr secret key") as refusal:
        signer_of(text)

    assert not text or text not in str(refusal.value)


def test_a_public_key_is_read_as_npub_and_in_hex_and_written_as_npub() -> None:
    theirs = nostr_sdk.PublicKey.parse(ALICE.pubkey).to_bech32()

    assert npub(ALICE.pubkey) == theirs
    assert pubkey_of(theirs) == pubkey_of(ALICE.pubkey) == ALICE.pubkey


@pytest.mark.parametrize("text", ["npub1", "npub1qqqqqq", "alice", "f" * 63])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a Nostr public key"):
        pubkey_of(text)


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_nostr_sdk_reads_our_old_messages_and_we_read_its_own(text: str) -> None:
    alice, bot = (nostr_sdk.Keys.parse(who.secret.hex()) for who in (ALICE, BOT))
    ours = encrypt_nip04(text, author=ALICE, receiver=BOT.pubkey, seed=b"seed")
    theirs = nostr_sdk.nip04_encrypt(alice.secret_key(), bot.public_key(), text)

    assert nostr_sdk.nip04_decrypt(bot.secret_key(), alice.public_key(), ours) == text
    assert decrypt_nip04(theirs, author=ALICE.pubkey, reader=BOT) == text


def test_an_old_message_is_the_same_again_and_another_with_another_text() -> None:
    def content(text: str) -> str:
        return encrypt_nip04(text, author=ALICE, receiver=BOT.pubkey, seed=b"seed")

    assert content("yes") == content("yes")
    assert content("yes").split("?iv=")[1] != content("no").split("?iv=")[1]


@pytest.mark.parametrize(
    "content", ["", "abc", "a?iv=b", "QUJD?iv=QUJD", "é?iv=é", "?iv=", "QUJD?iv=" + "A" * 22 + "=="]
)
def test_what_is_no_old_message_is_illegible(content: str) -> None:
    with pytest.raises(Illegible):
        decrypt_nip04(content, author=ALICE.pubkey, reader=BOT)
