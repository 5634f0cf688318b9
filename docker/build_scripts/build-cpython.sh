#!/bin/bash
# Builds and finishes one CPython: pip, launchers, static library; all images. Usage: build-cpython.sh PIN TAG|shared-cpython-X.Y
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/jobserver.sh
source "${HERE}/lib/jobserver.sh"
# shellcheck source=docker/build_scripts/lib/cpython.sh
source "${HERE}/lib/cpython.sh"
: "${BUILD_TRIPLE?}"
read_pin "${1:?the pin, as in cpython-3.14}"
TAG="${2:?the tag, as in cp314-cp314}"

use_site
keep_bytecode
MINOR="$(cut -d . -f 1,2 <<<"${VERSION}")"
ABI="${MINOR}"
PREFIX="/opt/_internal/cpython-${VERSION}"
if [[ "${TAG}" == *t ]]; then
    ABI+=t
    PREFIX+=-nogil
elif is_shared; then
    PREFIX="/opt/${TAG}"
    OPTIMISED="$(argument "${TAG}" OPTIMISED)"
fi

fetch_source "${URL}" "${SHA256}" /build/source
cd /build/source
unset _PYTHON_HOST_PLATFORM # the entry point sets it for armv7l; it would end up in sysconfig
unset LIBC                  # a word of the stage; configure up to 3.9 takes it for a library to link
leave_out_test_modules
add_loongarch_triplet
ask_gcc_for_multiarch
use_own_sqlite
configure
keep_flags_of_clang
skip_byte_compilation
compile
make "${MAKE_LESS}" install
install_test_support
ln -sf "python${ABI}" "${PREFIX}/bin/python"
install_pip

keep_static_library
forget_static_library
strip_tree "${PREFIX}"
find "${PREFIX}" -name __pycache__ -exec rm -rf {} +
link_duplicates "${PREFIX}"
mkdir -p "${ROOTFS}${PREFIX%/*}" "${ROOTFS}/usr/local/bin"
write_launchers
record interpreter "${TAG}" "${VERSION}" "${URL}" "${SHA256}"
keep_sbom
check
mv "${PREFIX}" "${ROOTFS}${PREFIX}"
clamp_times "${ROOTFS}" /static
