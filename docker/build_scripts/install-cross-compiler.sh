#!/bin/bash
# Gives a clang that runs on the builder the names and the target of this image's gcc; images that are cross-compiled
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
: "${TRIPLE:?}" "${MARCH?}"
BIN=/opt/clang/bin

"${BIN}/clang" --version || die "static clang does not run on this builder: check CLANG_PLATFORM and STATIC_CLANG_IMAGE"
gcc_directory="$(dirname "$(gcc -print-libgcc-file-name)")"
{
    echo "--target=${TRIPLE}"
    if [[ -n "${MARCH}" ]]; then echo "-march=${MARCH}"; fi
    echo "--gcc-install-dir=${gcc_directory}" # clang uses this gcc's libraries and C++ headers, a toolset's too
    echo "-fuse-ld=lld"
} >"${BIN}/image.cfg"
for driver in clang clang++ clang-cpp; do
    echo "@image.cfg" >"${BIN}/${driver}.cfg" # clang reads the file named like the driver that was called
done
for name in gcc cc g++ c++ cpp; do
    ln -sf clang "${BIN}/${name}"
done

mkdir /build
cd /build
cat >check.cc <<'C'
#include <stdexcept>
#include <string>
int main() { try { throw std::runtime_error("x"); } catch (const std::exception &e) { return std::string(e.what()) != "x"; } }
C
hash -r
g++ -O2 -o check check.cc
./check || die "a program that clang compiled for ${TRIPLE} does not run in this image"
for tool in clang LLD; do
    grep -qa "${tool} " check || die "$(command -v g++) made a program that does not name ${tool}: clang is not the first g++ on PATH"
done
rm -rf /build
