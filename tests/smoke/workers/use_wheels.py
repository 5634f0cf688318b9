"""Uses the installed test wheels named on the command line. Runs on Python 3.8 and later."""

import json
import os
import subprocess
import sys


def use_c():
    import smoke_c

    assert smoke_c.hypotenuse(3, 4) == 5.0


def use_cxx():
    import smoke_cxx

    assert smoke_cxx.sum(100) == 5050
    assert smoke_cxx.overrun() == "out of range"


def use_abi3():
    import smoke_abi3

    assert smoke_abi3.answer() == 42


def use_abi3t():
    import smoke_abi3t

    assert smoke_abi3t.answer() == 42


def use_graft():
    import smoke_graft

    assert smoke_graft.total() == 467
    tool = os.path.join(os.path.dirname(smoke_graft.__file__), "tool")
    assert subprocess.check_output([tool]) == b"467\n"


def main():
    problems = {}
    for name in sys.argv[1:]:
        try:
            globals()[name.replace("smoke_", "use_")]()
        except BaseException as error:
            problems[name] = "%s: %s" % (type(error).__name__, error)
    with open("/proc/self/maps") as file:
        maps = sorted({line.split(None, 5)[5].strip() for line in file if line.count("/")})
    json.dump({"problems": problems, "maps": maps}, sys.stdout)


main()
