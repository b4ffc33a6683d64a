"""Losses: how wrong a prediction is."""
