#!/bin/bash
# Builds autoconf, automake or libtool (the argument) for /usr/local if it is newer than the distribution's; libtool always; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/jobserver.sh
source "${HERE}/lib/jobserver.sh"
NAME="${1:?autoconf, automake or libtool}"
read_pin "${NAME}"

# see_macros_of DIRECTORY BY: lets the aclocal that reads BY find the macros of DIRECTORY, too. pkg.m4 is in /usr/share and
# libtool.m4 in /usr/local/share, so this is done in both directions.
see_macros_of() {
    local seen="$1" by="$2"
    mkdir -p "${ROOTFS}${by}"
    if [[ -f "${by}/dirlist" ]]; then cp "${by}/dirlist" "${ROOTFS}${by}/dirlist"; fi
    echo "${seen}" >>"${ROOTFS}${by}/dirlist"
}

fetch_source "${URL}" "${SHA256}" /build/source
system_version="$("${NAME}" --version 2>/dev/null | sed -n '1s/.* //p' || true)" # empty for libtool: no image installs it as a package
newest="$(printf '%s\n' "${system_version}" "${VERSION}" | sort -V | tail -n 1)"
if [[ "${NAME}" != libtool && "${newest}" == "${system_version}" ]]; then
    if [[ "${NAME}" == automake ]]; then see_macros_of /usr/local/share/aclocal /usr/share/aclocal; fi
    record component "${NAME}" "${system_version}"
    finish
    exit
fi

cd /build/source
./configure --prefix=/usr/local CPPFLAGS="${HARDEN_CPPFLAGS}" CFLAGS="${HARDEN_CFLAGS}" LDFLAGS="${HARDEN_LDFLAGS}"
parallel_make all
make install DESTDIR="${ROOTFS}"
rm -rf "${ROOTFS}"/usr/local/share/{info,man,doc}
if [[ "${NAME}" == automake ]]; then see_macros_of /usr/share/aclocal /usr/local/share/aclocal; fi
rm -f "${ROOTFS}"/usr/local/lib/*.{a,la}
record component "${NAME}" "${VERSION}" "${URL}" "${SHA256}"
finish
cp -a "${ROOTFS}/." /
ldconfig 2>/dev/null || true # fails with musl, which has no cache
[[ "$("${NAME}" --version | sed -n '1s/.* //p')" == "${VERSION}" ]] || die "${NAME} does not run as ${VERSION}"
