"""QR codes of invoices.

BOLT11 allows upper case, and a QR code takes 5.5 bits for an upper-case letter instead of 8: an
invoice of 280 characters makes version 9 instead of 11 (measured). The level is L: a screen has no
scratches.
"""

from typing import Final

import segno

QUIET_ZONE: Final = 4  # light modules on each side, ISO/IEC 18004


def invoice_code(payment_request: str) -> segno.QRCode:
    """The code that a wallet scans to pay this invoice."""
    return segno.make_qr(f"LIGHTNING:{payment_request.upper()}", error="l", boost_error=False)
