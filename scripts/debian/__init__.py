"""Debian's archive, and the base and the clang that are made from it."""
