"""How good a network is beside the methods it competes with, on tables from simulators that its training never saw."""
