"""Outside parties as real servers on loopback, each with a script and a journal."""
