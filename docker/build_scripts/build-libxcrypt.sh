#!/bin/bash
# Builds libcrypt.so.2 for /usr/local, and libcrypt.so.1 for existing programs (CentOS 7: glibc's own lacks modern hashes)
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/jobserver.sh
source "${HERE}/lib/jobserver.sh"
read_pin libxcrypt

# build NAME OPTION...: builds in /build/NAME. Each build has its own source, since the second one edits the version map.
build() {
    local name="$1"
    shift
    cd "/build/${name}"
    # lld rejects the version map of the second build; gcc uses bfd anyway.
    ./configure --prefix=/usr/local --libdir=/usr/local/lib --disable-static --enable-hashes=all --disable-werror "$@" \
        CPPFLAGS="${HARDEN_CPPFLAGS}" CFLAGS="${HARDEN_CFLAGS}" LDFLAGS="${HARDEN_LDFLAGS} -fuse-ld=bfd"
    parallel_make all
    make install DESTDIR="/build/${name}-root"
}

fetch_source "${URL}" "${SHA256}" /build/new
cd /build/new
if [[ ! -e configure ]]; then autoreconf --force --install; fi # Debian's archive is not the release's and lacks it
cp -a /build/new /build/compatible
build new --disable-obsolete-api
# Keep only glibc's symbol versions: programs linked to glibc's libcrypt.so.1 need no others, and new ones link to libcrypt.so.2.
edit /build/compatible/lib/libcrypt.map.in '/^[a-z_]+[[:space:]]+XCRYPT_4/d' '/[[:space:]]-[[:space:]]+XCRYPT_2\.0/d' \
    's/^([a-z_]+[[:space:]]+)XCRYPT_2\.0/\1-/' '/^%chain/s/ OW_CRYPT_1\.0//' '/^%chain/s/ XCRYPT_[0-9.]*//g' '/^%chain$/d'
build compatible --enable-obsolete-api=glibc --disable-xcrypt-compat-files

mkdir -p "${ROOTFS}/usr/local/lib"
cp -a /build/new-root/. "${ROOTFS}/"
cp -a /build/compatible-root/usr/local/lib/libcrypt.so.1* "${ROOTFS}/usr/local/lib/"
rm -rf "${ROOTFS}/usr/local/share"
record component libxcrypt "${VERSION}" "${URL}" "${SHA256}"
finish
mkdir -p "${DEVROOT}"

for soname in libcrypt.so.1 libcrypt.so.2; do
    shows "SONAME.*\[${soname}\]" readelf -d "${ROOTFS}/usr/local/lib/${soname}" || die "${soname} is missing or misnamed"
done
if shows XCRYPT_ readelf -V "${ROOTFS}/usr/local/lib/libcrypt.so.1"; then die "libcrypt.so.1 still offers XCRYPT_ symbols"; fi
cat >/build/check.c <<'C'
#include <crypt.h>
#include <string.h>
int main(void) { char *hash = crypt("secret", "$y$j9T$abcdefgh$"); return hash == NULL || strncmp(hash, "$y$", 3) != 0; }
C
gcc -o /build/check /build/check.c -I"${ROOTFS}/usr/local/include" -L"${ROOTFS}/usr/local/lib" -lcrypt
LD_LIBRARY_PATH="${ROOTFS}/usr/local/lib" /build/check || die "libcrypt.so.2 lacks yescrypt"
