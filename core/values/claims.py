"""Claim links: LNURL-withdraw links that only this server can make, and only it can read.

What a wallet shows (`k1`) is the claim's id and a code over it. Whoever reads the database learns
the ids, not the codes, so a stolen backup claims nothing. Source: LUD-01, LUD-03.
"""

import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from core.values.destinations import lnurl_of

_K1 = re.compile(r"[0-9a-f]{64}")
_ID_LENGTH = 32


def new_claim_id() -> str:
    """The id of a claim: 128 random bits."""
    return secrets.token_hex(_ID_LENGTH // 2)


@dataclass(frozen=True, slots=True)
class ClaimLinks:
    """Makes the links of a server at `base_url`, and reads them; "" is a server without links."""

    key: bytes = field(repr=False)
    base_url: str

    def lnurl(self, claim_id: str) -> str | None:
        """The link as an LNURL in lower case, or None where this server has no links."""
        if not self.base_url:
            return None
        return lnurl_of(f"{self.base_url}/lnurl/withdraw/{self.k1(claim_id)}")

    @property
    def callback(self) -> str:
        """Where a wallet hands in its invoice."""
        return f"{self.base_url}/lnurl/callback"

    def k1(self, claim_id: str) -> str:
        """What a wallet shows for this claim."""
        return claim_id + hmac.digest(self.key, claim_id.encode(), "sha256").hex()[:_ID_LENGTH]

    def claim_id_in(self, k1: str) -> str | None:
        """The claim that was shown, or None where the code is not ours."""
        if _K1.fullmatch(k1) is None:
            return None
        claim_id = k1[:_ID_LENGTH]
        return claim_id if hmac.compare_digest(k1, self.k1(claim_id)) else None


def base_of_links(public_url: str, insecure_hosts: Collection[str]) -> str:
    """The address that wallets may be led to, or "" where this is none.

    LUD-01 wants https, or an onion; `insecure_hosts` are `host:port` that may be without.
    """
    parts = urlsplit(public_url)
    is_onion = (parts.hostname or "").endswith(".onion")
    if parts.scheme == "https" or is_onion or parts.netloc in insecure_hosts:
        return public_url.rstrip("/")
    return ""
