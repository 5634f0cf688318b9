#!/bin/bash
# The last step of an image: the linker's cache, and a manifest of all layers; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
: "${LIBC:?}"

"${HERE}/prepare-component.sh"
case "${LIBC}" in
    glibc) ldconfig ;;
    musl) ldconfig / ;;
    *) die "unknown C library '${LIBC}': add it to configure-system.sh and finish-image.sh" ;;
esac
rm -rf /var/cache/ldconfig
/opt/_internal/tools/bin/python -IB "${HERE}/../describe"
find /opt/_internal -name __pycache__ -exec rm -rf {} +
find /tmp -mindepth 1 -delete
