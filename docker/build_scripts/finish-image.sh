#!/bin/bash
# Last step of an image: linker cache and manifest over all layers; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"
: "${LIBC:?}"

"${HERE}/prepare-component.sh"
case "${LIBC}" in
    glibc) ldconfig ;;
    musl) ldconfig / ;;
    *) die "unknown C library '${LIBC}'" ;;
esac
rm -rf /var/cache/ldconfig
/opt/_internal/tools/bin/python -IB "${HERE}/write_manifest.py"
find /opt/_internal -name __pycache__ -exec rm -rf {} +
find /tmp -mindepth 1 -delete
