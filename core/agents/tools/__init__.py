"""The text tools of the offline agent: pure functions from a task to an outcome."""
