"""Heads: what a transfer adds to a backbone, trained or solved at once."""
