"""Example data: the Sachs protein table and its two published graphs. README.md says where they come from."""
