"""Smoke tests seen from outside the image."""
