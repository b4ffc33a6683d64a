"""Distributions over directed acyclic graphs."""
