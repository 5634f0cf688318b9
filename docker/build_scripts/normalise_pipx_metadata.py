"""Removes from a pipx_metadata.json whatever differs between two builds, and prints the tool's version.

Arguments: the file, and the path of the tools' interpreter. `pipx list`, `upgrade` and `reinstall` keep working.
"""

import json
import sys
from pathlib import Path

path, python = Path(sys.argv[1]), sys.argv[2]
metadata = json.loads(path.read_text(encoding="utf-8"))
metadata["python_version"] = "Python {}.{}".format(*sys.version_info[:2])
metadata["source_interpreter"] = {"__type__": "Path", "__Path__": python}
metadata["main_package"]["pip_args"] = []
path.write_text(json.dumps(metadata, indent=4, sort_keys=True), encoding="utf-8")
print(metadata["main_package"]["package_version"])
