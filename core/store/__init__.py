"""The ground: one transaction at a time, on SQLite or PostgreSQL."""
