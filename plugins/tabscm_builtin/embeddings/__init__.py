"""Embeddings: how a table becomes evidence about its variables and pairs of variables."""
