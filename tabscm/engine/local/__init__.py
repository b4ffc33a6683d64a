"""A web app for one person on this machine: drop a table, say what is known, explore its graph.

Nobody else gets in: it listens on 127.0.0.1 alone, every address begins with a token that is drawn when it starts, and
what is read is read in a process of its own, with limits.
"""
