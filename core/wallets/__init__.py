"""Wallets: how money comes in and goes out."""
