"""Reads what this machine is and what its owner has configured."""
