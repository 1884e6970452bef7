"""The version of this Boltwork, as `pyproject.toml` has it too."""

VERSION = "0.1.0"
