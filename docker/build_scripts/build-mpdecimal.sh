#!/bin/bash
# Builds libmpdec for CPython's _decimal (3.13 and later), shared only, in a private prefix; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/jobserver.sh
source "${HERE}/lib/jobserver.sh"
read_pin mpdecimal
PREFIX=/opt/_internal/mpdecimal

fetch_source "${URL}" "${SHA256}" /build/source
cd /build/source
./configure --prefix="${PREFIX}" --disable-cxx --disable-static --disable-doc \
    CFLAGS="${HARDEN_CPPFLAGS} ${HARDEN_CFLAGS}" LDFLAGS="${HARDEN_LDFLAGS}"
parallel_make default
make install DESTDIR="${DEVROOT}"
rm -rf "${DEVROOT}${PREFIX}/share"
edit "${DEVROOT}${PREFIX}/lib/pkgconfig/libmpdec.pc" "s|^Libs:.*|& -Wl,-rpath,\${libdir} -Wl,--enable-new-dtags|"

mkdir -p "${ROOTFS}${PREFIX}/lib"
cp -a "${DEVROOT}${PREFIX}"/lib/libmpdec.so* "${ROOTFS}${PREFIX}/lib/"
record component mpdecimal "${VERSION}" "${URL}" "${SHA256}"
finish
ls "${ROOTFS}${PREFIX}/lib/libmpdec.so.${VERSION%%.*}" >/dev/null || die "libmpdec's soname is not libmpdec.so.${VERSION%%.*}"
if ls "${DEVROOT}${PREFIX}"/lib/*.a "${DEVROOT}${PREFIX}"/lib/libmpdec++* 2>/dev/null; then die "libmpdec: the build made more than the shared C library"; fi
