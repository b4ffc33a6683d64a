"""Heads: how answers are read from the evidence."""
