#!/bin/bash
# Locale, default shell, linker search path and repairs of what the distribution installed
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"
# shellcheck source=docker/build_scripts/system.sh
source "${HERE}/system.sh"

set_locale
set_default_shell
repair_toolset
case "${LIBC}" in
    glibc)
        # Libraries that users install with the default prefix are found first, wherever their build system puts them.
        # https://github.com/pypa/manylinux/issues/1886
        printf "%s\n" /usr/local/lib /usr/local/lib64 >/etc/ld.so.conf.d/00-manylinux.conf
        ldconfig
        ;;
    musl) ldconfig / ;;
    *) die "unknown C library '${LIBC}'" ;;
esac
