"""The kernel: it knows the kinds of components, none of their names, and nothing of training."""
