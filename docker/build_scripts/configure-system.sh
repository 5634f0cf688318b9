#!/bin/bash
# Sets locale, default shell and the linker's search path, and repairs the distribution's toolset; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/system.sh
source "${HERE}/lib/system.sh"

set_locale
set_default_shell
repair_toolset
case "${LIBC}" in
    glibc)
        # The linker finds libraries that users install with the default prefix first, whether in lib or in lib64.
        # https://github.com/pypa/manylinux/issues/1886
        printf "%s\n" /usr/local/lib /usr/local/lib64 >/etc/ld.so.conf.d/00-manylinux.conf
        ldconfig
        ;;
    musl) ldconfig / ;;
    *) die "unknown C library '${LIBC}': add it to configure-system.sh and finish-image.sh" ;;
esac
