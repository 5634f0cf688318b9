#!/bin/bash
# Builds Tcl and Tk 8.6 for /usr/local, for the images whose distribution's is older (CentOS 7)
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"
: "${TCL_VERSION:?}" "${TCL_URL:?}" "${TCL_SHA256:?}" "${TK_VERSION:?}" "${TK_URL:?}" "${TK_SHA256:?}"

build() {
    local name="$1" version="$2" url="$3" sha256="$4"
    shift 4
    fetch_source "${url}" "${sha256}" "/build/${name}"
    cd "/build/${name}/unix"
    ./configure --prefix=/usr/local --enable-threads "$@" \
        CPPFLAGS="${HARDEN_CPPFLAGS}" CFLAGS="${HARDEN_CFLAGS}" LDFLAGS="${HARDEN_LDFLAGS}"
    make -j "$(nproc)"
    make install-binaries install-libraries install-headers DESTDIR="${DEVROOT}"
    record component "${name}" "${version}" "${url}" "${sha256}"
}

build tcl "${TCL_VERSION}" "${TCL_URL}" "${TCL_SHA256}"
build tk "${TK_VERSION}" "${TK_URL}" "${TK_SHA256}" --with-tcl=/build/tcl/unix
cd "${DEVROOT}/usr/local"
rm -rf share lib/libtclstub8.6.a lib/libtkstub8.6.a
sed -i 's/ *-ltclstub8\.6//; s/ *-ltkstub8\.6//' lib/pkgconfig/tcl.pc lib/pkgconfig/tk.pc
chmod u+w lib/*.so # installed read-only, and strip refuses those
cp -a "${DEVROOT}/." "${ROOTFS}/"
finish

cp -a "${ROOTFS}/." /
ldconfig
[[ "$(tclsh8.6 <<<"puts [info patchlevel]")" == "${TCL_VERSION}" ]] || die "tclsh does not run as ${TCL_VERSION}"
shows "NEEDED.*libXft" readelf -d /usr/local/lib/libtk8.6.so || die "Tk has no scalable fonts"
