#!/bin/bash
# Gives a clang that runs on the builder the names and the target of this image's gcc; images for other processors than the builder's
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"
: "${TRIPLE:?}" "${MARCH?}"
BIN=/opt/clang/bin

"${BIN}/clang" --version || die "the image of static clang holds none in ${BIN} that runs on this builder"
gcc_directory="$(dirname "$(gcc -print-libgcc-file-name)")"
{
    echo "--target=${TRIPLE}"
    if [[ -n "${MARCH}" ]]; then echo "-march=${MARCH}"; fi
    echo "--gcc-install-dir=${gcc_directory}" # whose libraries and C++ headers are used, those of a toolset too
    echo "-fuse-ld=lld"
} >"${BIN}/image.cfg"
for driver in clang clang++ clang-cpp; do
    echo "@image.cfg" >"${BIN}/${driver}.cfg" # clang reads the one for the language that it is called for
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
./check || die "what clang compiles for ${TRIPLE} does not run in this image"
for tool in clang LLD; do
    grep -qa "${tool} " check || die "$(command -v g++) made a program without ${tool}"
done
rm -rf /build
