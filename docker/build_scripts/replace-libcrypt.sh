#!/bin/bash
# Removes glibc's own libcrypt where ours has taken its place (CentOS 7); to be repeated after every upgrade of glibc
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"

[[ -e /usr/local/lib/libcrypt.so.2 ]] || exit 0
# Only glibc calls its library libcrypt-2.17.so; a distribution's own libxcrypt stays.
for directory in /lib /lib64 /usr/lib /usr/lib64; do
    for library in "${directory}"/libcrypt-2.[0-9]*.so; do
        [[ -e "${library}" ]] || continue
        rm -f "${library}" "${directory}/libcrypt.so.1" "${directory}/libcrypt.so" "${directory}/libcrypt.a" /usr/include/crypt.h
    done
done
ldconfig
