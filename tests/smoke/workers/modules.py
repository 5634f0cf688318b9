"""Imports the modules named on standard input; says which failed and where each came from. Runs on Python 3.8 too."""

import contextlib
import importlib
import importlib.util
import io
import json
import os
import sys
import warnings


def origin(module):
    return getattr(module, "__file__", None) or ""


def main():
    request = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    os.environ["BROWSER"] = "true"  # `antigravity` opens one
    failed, origins = {}, {}
    silent = io.StringIO()
    for name in request["import"]:
        # If an import kills the interpreter, the last line on standard error is the culprit.
        print("importing", name, file=sys.stderr, flush=True)
        try:
            with contextlib.redirect_stdout(silent):
                origins[name] = origin(importlib.import_module(name))
        except BaseException as error:
            failed[name] = "%s: %s" % (type(error).__name__, error)
    for name in request["find"]:
        print("finding", name, file=sys.stderr, flush=True)
        try:
            spec = importlib.util.find_spec(name)
        except Exception as error:
            failed[name] = "%s: %s" % (type(error).__name__, error)
            continue
        if spec is None:
            failed[name] = "not found"
        elif spec.origin and spec.origin not in ("built-in", "frozen"):
            origins[name] = spec.origin
    json.dump({"failed": failed, "origins": origins, "builtin": list(sys.builtin_module_names)}, sys.stdout)


main()
