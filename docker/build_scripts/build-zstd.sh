#!/bin/bash
# Builds libzstd for CPython's compression.zstd (3.14 and later), shared and multi-threaded, in a private prefix; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/jobserver.sh
source "${HERE}/lib/jobserver.sh"
read_pin zstd
PREFIX=/opt/_internal/zstd

fetch_source "${URL}" "${SHA256}" /build/source
cd /build/source/lib
# In the environment, so that the makefile can add to them
export CPPFLAGS="${HARDEN_CPPFLAGS} -DZSTD_MULTITHREAD" CFLAGS="${HARDEN_CFLAGS} -fvisibility=hidden -pthread" LDFLAGS="${HARDEN_LDFLAGS} -pthread"
parallel_make PREFIX="${PREFIX}" DESTDIR="${DEVROOT}" install-shared install-pc install-includes
edit "${DEVROOT}${PREFIX}/lib/pkgconfig/libzstd.pc" "s|^Libs:.*|& -Wl,-rpath,\${libdir} -Wl,--enable-new-dtags|"

mkdir -p "${ROOTFS}${PREFIX}/lib"
cp -a "${DEVROOT}${PREFIX}"/lib/libzstd.so* "${ROOTFS}${PREFIX}/lib/"
record component zstd "${VERSION}" "${URL}" "${SHA256}"
finish
# A single-threaded library rejects a number of workers; ours must accept it.
cat >/build/check.c <<'C'
#include <zstd.h>
int main(void) { return ZSTD_isError(ZSTD_CCtx_setParameter(ZSTD_createCCtx(), ZSTD_c_nbWorkers, 2)) != 0; }
C
gcc -o /build/check /build/check.c -I"${DEVROOT}${PREFIX}/include" -L"${DEVROOT}${PREFIX}/lib" -lzstd
LD_LIBRARY_PATH="${DEVROOT}${PREFIX}/lib" /build/check || die "libzstd is not multi-threaded"
