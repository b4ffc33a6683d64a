"""Distributions of exogenous noise, all with mean 0 and standard deviation 1."""
