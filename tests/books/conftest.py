"""The databases of these tests."""

from tests.emptied import shared_store

__all__ = ["shared_store"]
