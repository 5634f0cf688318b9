"""Imports two C++ modules in the order of the command line, and lets each use libstdc++ and call the other."""

import importlib
import sys

modules = [importlib.import_module(name) for name in sys.argv[1:]]
for module in modules:
    broken = module.broken()
    assert not broken, "%s: %sfail" % (module.__name__, broken)
for mine, other in (modules, modules[::-1]):
    said, expected = mine.take(other.offer()), f"standard {other.__name__}, own {other.__name__}"
    assert said == expected, "%s catches %r of %s" % (mine.__name__, said, other.__name__)
    assert other.calls() == 1, "%s called %s %d times" % (mine.__name__, other.__name__, other.calls())
