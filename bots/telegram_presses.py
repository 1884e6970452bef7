"""What a button of ours carries, and how we know it again.

Telegram hands a button's 64 bytes back as they are, and anyone who writes a client of Telegram can
send others. So the bytes are signed for one bot and one person: `1.<verb>.<ref>.<version>.<mac>`.
"""

import base64
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.values.mail import Press

DATA_MAX: Final = 64
_MAC_CHARACTERS: Final = 10  # 60 bits; each guess is a request to Telegram
_WORD: Final = re.compile(r"[A-Za-z0-9_:-]*")
_DATA: Final = re.compile(
    r"1\.(?P<verb>[A-Za-z0-9_:-]*)\.(?P<ref>[A-Za-z0-9_:-]*)\.(?P<version>0|[1-9][0-9]{0,17})"
    r"\.(?P<mac>[A-Za-z0-9_-]{10})"
)


@dataclass(frozen=True, slots=True)
class Seals:
    """Signs with the first key, knows again what any of the keys signed."""

    keys: Sequence[bytes]

    def seal(self, press: Press, *, bot_id: str, uid: str) -> str:
        """The bytes of a button that only this person can press."""
        assert _WORD.fullmatch(press.verb)
        assert _WORD.fullmatch(press.ref)
        data = f"1.{press.verb}.{press.ref}.{press.version}"
        sealed = f"{data}.{_mac(self.keys[0], press, bot_id, uid)}"
        assert len(sealed) <= DATA_MAX, sealed
        return sealed

    def open(self, data: str, *, bot_id: str, uid: str) -> Press | None:
        """What was pressed; None where the bytes are not ours, or not for this person."""
        match = _DATA.fullmatch(data)
        if match is None:
            return None
        press = Press(match["verb"], match["ref"], int(match["version"]))
        macs = [_mac(key, press, bot_id, uid) for key in self.keys]
        is_ours = [hmac.compare_digest(match["mac"], mac) for mac in macs]
        return press if any(is_ours) else None


def _mac(key: bytes, press: Press, bot_id: str, uid: str) -> str:
    text = f"tg|{bot_id}|{uid}|{press.verb}|{press.ref}|{press.version}"
    digest = hmac.digest(key, text.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode()[:_MAC_CHARACTERS]
