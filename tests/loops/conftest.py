"""The databases of these tests."""

from tests.emptied import database, shared_store

__all__ = ["database", "shared_store"]
