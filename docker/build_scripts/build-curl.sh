#!/bin/bash
# Builds libcurl for git in a private prefix if the distribution's is too old (CentOS 7); the image gets its shared library alone
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/jobserver.sh
source "${HERE}/lib/jobserver.sh"
read_pin curl
PREFIX=/opt/_internal/curl-4

ldflags="${HARDEN_LDFLAGS} -Wl,-rpath,${PREFIX}/lib -Wl,--enable-new-dtags"
openssl=(/opt/_internal/openssl-*)
if [[ -d "${openssl[0]}" ]]; then
    with_openssl="--with-openssl=${openssl[0]}"
    ldflags+=" -Wl,-rpath,${openssl[0]}/lib"
else
    with_openssl="--with-openssl"
fi

fetch_source "${URL}" "${SHA256}" /build/source
cd /build/source
./configure --prefix="${PREFIX}" --disable-static --without-libpsl --disable-docs "${with_openssl}" \
    CPPFLAGS="${HARDEN_CPPFLAGS}" CFLAGS="${HARDEN_CFLAGS}" LDFLAGS="${ldflags}"
parallel_make all
make install DESTDIR="${DEVROOT}"
rm -rf "${DEVROOT}${PREFIX}/share"

mkdir -p "${ROOTFS}${PREFIX}/lib"
cp -a "${DEVROOT}${PREFIX}"/lib/libcurl.so.4* "${ROOTFS}${PREFIX}/lib/" || die "libcurl's soname is no longer libcurl.so.4: adapt PREFIX and this line"
record component curl "${VERSION}" "${URL}" "${SHA256}"
finish

cp -a "${DEVROOT}/." /
shows "^curl ${VERSION} .*libcurl/${VERSION} OpenSSL/" "${PREFIX}/bin/curl" --version || die "curl does not run as ${VERSION} with OpenSSL"
