"""What Telegram's refusals mean.

The wordings have changed over the years, and Telegram gives no codes for them; so parts of several
are looked for, in lower case. Source: https://github.com/TelegramBotAPI/errors.
"""

from typing import Final

from bots.channel import Bad, Gone, Lost, Outcome, Sent

_ALREADY_SO: Final = ("message is not modified", "message_not_modified", "message to delete")
_UNDELETABLE: Final = ("message can't be deleted",)
_LOST: Final = (
    *("message to edit not found", "message to be edited", "message can't be edited"),
    *("message_id_invalid", "message identifier", "no text in the message", "no caption in"),
    "message_edit_time_expired",
)
_GONE: Final = (
    *("chat not found", "chat_id_invalid", "user not found", "peer_id_invalid"),
    *("deactivated", "user_is_blocked", "blocked by the user"),
)
_FORMATTING: Final = ("entit",)
_SIZE: Final = ("too big", "too large")
_BUTTON_ADDRESS: Final = ("button_url_invalid", "button url", "unsupported url protocol")


class Failed(Exception):
    """A call failed; `outcome` says what that means."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(getattr(outcome, "reason", type(outcome).__name__))
        self.outcome = outcome


def refusal(wording: str) -> Outcome:
    """What became of a call that was answered with 400 and this text."""
    if _has(wording, *_ALREADY_SO, *_UNDELETABLE):
        return Sent()
    if _has(wording, *_LOST):
        return Lost()
    return Gone(wording) if _has(wording, *_GONE) else Bad(wording)


def is_about_formatting(wording: str) -> bool:
    """Whether the same text would be taken without its formatting."""
    return _has(wording, *_FORMATTING)


def is_about_links(wording: str) -> bool:
    """Whether the same message would be taken without the buttons that open a page."""
    return _has(wording, *_BUTTON_ADDRESS)


def is_about_size(wording: str) -> bool:
    """Whether a file was not handed out because it is too large."""
    return _has(wording, *_SIZE)


def _has(wording: str, *parts: str) -> bool:
    return any(part in wording.lower() for part in parts)
