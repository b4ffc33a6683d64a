"""Distributions over experiments: which cells are set, and to what."""
