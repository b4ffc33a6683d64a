"""Distributions over ways in which variables are recorded."""
