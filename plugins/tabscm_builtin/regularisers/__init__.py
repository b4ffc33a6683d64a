"""Regularisers: what a prediction should not look like, whatever the truth."""
