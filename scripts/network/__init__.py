"""Talking to servers: HTTP for the updaters, the registry protocol for publishing."""
