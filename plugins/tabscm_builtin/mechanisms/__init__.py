"""Distributions over functions that give a variable from its parents and its noise."""
