"""Encoders: how evidence is reasoned over."""
