#!/bin/bash
# Builds autoconf, automake or libtool for /usr/local, unless the distribution's is as new (libtool: always); all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"
: "${NAME:?}" "${VERSION:?}" "${URL:?}" "${SHA256:?}"

# What /usr/share has is seen by ours and the reverse: pkg.m4 and libtool.m4 live on different sides.
see_macros_of() {
    local seen="$1" by="$2"
    mkdir -p "${ROOTFS}${by}"
    if [[ -f "${by}/dirlist" ]]; then cp "${by}/dirlist" "${ROOTFS}${by}/dirlist"; fi
    echo "${seen}" >>"${ROOTFS}${by}/dirlist"
}

fetch_source "${URL}" "${SHA256}" /build/source
system_version="$("${NAME}" --version 2>/dev/null | sed -n '1s/.* //p' || true)" # libtool is no package of ours: empty
newest="$(printf '%s\n' "${system_version}" "${VERSION}" | sort -V | tail -n 1)"
if [[ "${NAME}" != libtool && "${newest}" == "${system_version}" ]]; then
    if [[ "${NAME}" == automake ]]; then see_macros_of /usr/local/share/aclocal /usr/share/aclocal; fi
    record component "${NAME}" "${system_version}"
    finish
    exit
fi

cd /build/source
./configure --prefix=/usr/local CPPFLAGS="${HARDEN_CPPFLAGS}" CFLAGS="${HARDEN_CFLAGS}" LDFLAGS="${HARDEN_LDFLAGS}"
make -j "$(nproc)"
make install DESTDIR="${ROOTFS}"
rm -rf "${ROOTFS}"/usr/local/share/{info,man,doc}
if [[ "${NAME}" == automake ]]; then see_macros_of /usr/share/aclocal /usr/local/share/aclocal; fi
rm -f "${ROOTFS}"/usr/local/lib/*.{a,la}
record component "${NAME}" "${VERSION}" "${URL}" "${SHA256}"
finish
cp -a "${ROOTFS}/." /
ldconfig 2>/dev/null || true # musl has no cache to refresh
[[ "$("${NAME}" --version | sed -n '1s/.* //p')" == "${VERSION}" ]] || die "${NAME} does not run as ${VERSION}"
