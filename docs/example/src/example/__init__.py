"""A package whose work is done in C."""

from example._native import add

__all__ = ["add"]
