"""Agents: who does the work that is sold."""
