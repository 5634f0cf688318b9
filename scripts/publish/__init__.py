"""Bringing images to registries, taking them back, letting them expire."""
