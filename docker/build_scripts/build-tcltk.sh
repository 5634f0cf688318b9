#!/bin/bash
# Builds Tcl and Tk 8.6 for /usr/local if the distribution's are older (CentOS 7)
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/jobserver.sh
source "${HERE}/lib/jobserver.sh"

# build NAME OPTION...
build() {
    local name="$1"
    shift
    read_pin "${name}"
    fetch_source "${URL}" "${SHA256}" "/build/${name}"
    cd "/build/${name}/unix"
    ./configure --prefix=/usr/local --enable-threads "$@" \
        CPPFLAGS="${HARDEN_CPPFLAGS}" CFLAGS="${HARDEN_CFLAGS}" LDFLAGS="${HARDEN_LDFLAGS}"
    parallel_make all
    make install-binaries install-libraries install-headers DESTDIR="${DEVROOT}"
    record component "${name}" "${VERSION}" "${URL}" "${SHA256}"
}

build tcl
build tk --with-tcl=/build/tcl/unix
cd "${DEVROOT}/usr/local"
rm -rf share lib/libtclstub8.6.a lib/libtkstub8.6.a
edit lib/pkgconfig/tcl.pc 's/ *-ltclstub8\.6//'
edit lib/pkgconfig/tk.pc 's/ *-ltkstub8\.6//'
chmod u+w lib/*.so # strip rejects the read-only files that make has installed
cp -a "${DEVROOT}/." "${ROOTFS}/"
finish

cp -a "${ROOTFS}/." /
ldconfig
TCL_VERSION="$(argument tcl VERSION)"
[[ "$(tclsh8.6 <<<"puts [info patchlevel]")" == "${TCL_VERSION}" ]] || die "tclsh does not run as ${TCL_VERSION}"
shows "NEEDED.*libXft" readelf -d /usr/local/lib/libtk8.6.so || die "Tk has no scalable fonts"
