#!/bin/bash
# Builds OpenSSL in a private prefix: libraries if the distribution's is older than 1.1.1 (CentOS 7), all of it for the shared variant
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/jobserver.sh
source "${HERE}/lib/jobserver.sh"
read_pin openssl
: "${PLATFORM:?}"
KEEP="${KEEP:-libraries}"
PREFIX="/opt/_internal/openssl-${VERSION%.*}"

options=(--prefix="${PREFIX}" --openssldir="${PREFIX}" --libdir=lib shared no-tests no-docs)
case "${KEEP}" in
    libraries) options+=(no-afalgeng) ;;
    all) ;;
    *) die "KEEP=${KEEP}: write 'libraries' for what interpreters load, or 'all' for programs, headers and engines, too" ;;
esac
# $(LIBRPATH) is a variable of OpenSSL's makefile
# shellcheck disable=SC2016
options+=('-Wl,-rpath,$(LIBRPATH)' '-Wl,--enable-new-dtags')
if [[ "${PLATFORM}" == i686 ]]; then options+=(-latomic); fi # 64-bit atomics

fetch_source "${URL}" "${SHA256}" /build/source
cd /build/source
CPPFLAGS="${HARDEN_CPPFLAGS}" CFLAGS="${HARDEN_CFLAGS}" LDFLAGS="${HARDEN_LDFLAGS}" ./config "${options[@]}"
parallel_make all
make install_sw DESTDIR="${DEVROOT}"
rm -f "${DEVROOT}${PREFIX}"/lib/*.a

# With this link programs find the image's certificates even without SSL_CERT_FILE.
mkdir -p "${ROOTFS}${PREFIX}/lib"
if [[ "${KEEP}" == all ]]; then
    cp -a "${DEVROOT}${PREFIX}/." "${ROOTFS}${PREFIX}/"
else
    cp -a "${DEVROOT}${PREFIX}"/lib/*.so* "${DEVROOT}${PREFIX}/lib/ossl-modules" "${ROOTFS}${PREFIX}/lib/"
fi
ln -s /opt/_internal/certs.pem "${ROOTFS}${PREFIX}/cert.pem"
record component openssl "${VERSION}" "${URL}" "${SHA256}"
finish

cp -a "${DEVROOT}/." /
[[ "$("${PREFIX}/bin/openssl" version)" == "OpenSSL ${VERSION} "* ]] || die "openssl does not run as ${VERSION}"
shows "R(UN)?PATH.*${PREFIX}/lib" readelf -d "${ROOTFS}${PREFIX}/lib/libssl.so" || die "libssl does not find its libcrypto"
