"""The engine: it turns an experiment into tables, a network, a trained network and predictions; it names no component."""
