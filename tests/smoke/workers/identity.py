"""Says what this interpreter is and how it was configured. Runs on Python 3.8 and later."""

import json
import os
import platform
import struct
import sys
import sysconfig


def tags():
    from packaging import tags

    every = list(tags.sys_tags())
    return {
        "first": "%s-%s" % (every[0].interpreter, every[0].abi),
        "platforms": sorted({tag.platform for tag in every}),
    }


def distributions():
    try:
        from importlib import metadata
    except ImportError:
        import importlib_metadata as metadata
    return {dist.metadata["Name"].lower().replace("_", "-"): dist.version for dist in metadata.distributions()}


def main():
    release = getattr(sys, "pypy_version_info", sys.version_info)
    version = "%d.%d.%d" % tuple(release[:3])
    if release[3] != "final":
        version += {"alpha": "a", "beta": "b", "candidate": "rc"}[release[3]] + str(release[4])
    json.dump(
        {
            "version": version,
            "language": "%d.%d" % sys.version_info[:2],
            "implementation": platform.python_implementation(),
            "executable": sys.executable,
            "prefix": sys.prefix,
            "base_prefix": sys.base_prefix,
            "path": sys.path,
            "machine": platform.machine(),
            "platform": sysconfig.get_platform(),
            "bits": struct.calcsize("P") * 8,
            "paths": sysconfig.get_paths(),
            "variables": {k: v for k, v in sysconfig.get_config_vars().items() if isinstance(v, (str, int))},
            "makefile": sysconfig.get_makefile_filename() if hasattr(sysconfig, "get_makefile_filename") else "",
            "config_h": sysconfig.get_config_h_filename(),
            "tags": tags(),
            "distributions": distributions(),
            "environment": dict(os.environ),
            "flags": {"debug": hasattr(sys, "gettotalrefcount"), "optimize": sys.flags.optimize},
        },
        sys.stdout,
    )


main()
