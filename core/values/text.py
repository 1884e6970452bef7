"""Text from outside, as databases and UTF-8 can hold it."""

import re

# PostgreSQL refuses NUL in text, UTF-8 has no surrogates; JSON can carry both.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """The text with the replacement character where NUL or a lone surrogate stood."""
    return _UNSTORABLE.sub("\ufffd", text)
