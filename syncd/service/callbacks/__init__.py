"""Callbacks of a vendor: where they come in, which addresses are known, how many requests they may cause."""
