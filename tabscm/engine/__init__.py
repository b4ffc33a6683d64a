"""The engine: turns an experiment into tables, a network and predictions; it names no component."""
