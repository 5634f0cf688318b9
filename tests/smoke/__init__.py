"""What an image is held to, run inside it: `python -m smoke` from the directory that holds this package.

Needs nothing but the standard library of Python >= 3.11; what runs on the interpreters under test (workers/) is
written for Python 3.8. scripts/smoke starts it in a container and renders what it says.
"""
