#!/bin/bash
# Builds, repairs and tests a wheel with each CPython of a manylinux or musllinux image; it runs inside the container
set -Eeuo pipefail

project="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
work="$(mktemp -d)"
# setuptools writes beside the sources, and the folder may be mounted read-only.
mkdir "${work}/source"
cp -R "${project}"/{pyproject.toml,setup.py,src,tests} "${work}/source"

for python in /opt/python/cp*/bin/python; do
    if ! "${python}" -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
        continue # older than requires-python says
    fi
    tag="$(basename "$(dirname "$(dirname "${python}")")")"
    echo "=== ${tag}"
    "${python}" -m build --wheel --outdir "${work}/built/${tag}" "${work}/source"
    auditwheel repair --wheel-dir "${work}/repaired/${tag}" "${work}/built/${tag}"/*.whl
    "${python}" -m venv "${work}/${tag}"
    "${work}/${tag}/bin/python" -m pip install --no-index "${work}/repaired/${tag}"/*.whl
    (cd "${work}" && "${work}/${tag}/bin/python" -m unittest discover --start-directory "${work}/source/tests")
done

mkdir -p "${project}/wheelhouse"
cp "${work}"/repaired/*/*.whl "${project}/wheelhouse/"
ls "${project}/wheelhouse"
