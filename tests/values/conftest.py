"""The `bolt11` package, an oracle, bounds itself to Python below 3.13; see pyproject.toml."""

import sys

collect_ignore = ["test_bolt11_oracle.py"] if sys.version_info >= (3, 13) else []
