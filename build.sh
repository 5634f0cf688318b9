#!/bin/bash
# Builds an image and smoke-tests it: finds a Python for `scripts build`, which does the work and has the options (--help)
set -Eeuo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
for name in "${!PYTHON@}"; do unset "${name}"; done # PYTHONHOME and the like are meant for other programs of the caller
for python in python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "${python}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "${python}" "${here}/scripts" build "$@"
    fi
done
if command -v uv >/dev/null; then
    exec uv run --no-project --python ">=3.11" "${here}/scripts" build "$@"
fi
echo "error: building needs Python 3.11 or newer, or uv: install one, for example with 'apt-get install python3'" >&2
exit 2
