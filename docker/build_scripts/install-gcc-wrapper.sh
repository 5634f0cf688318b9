#!/bin/bash
# Puts a wrapper before compilers that target more than x86-64's baseline by default (RHEL 9 and later, x86_64)
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"
: "${PLATFORM:?}"

[[ "${PLATFORM}" == x86_64 ]] || exit 0
gcc -v 2>&1 | grep -q 'march=x86-64-v' || exit 0

real="$(dirname "$(command -v gcc)")"
wrapper=/usr/local/bin/manylinux-baseline-compiler
[[ ! -e "${wrapper}" ]] || exit 0
gcc -O2 -Wall -Wextra -Werror -march=x86-64 -mtune=generic -DREAL_DIRECTORY="\"${real}\"" -o "${wrapper}" "${HERE}/../src/baseline-compiler.c"
strip "${wrapper}"
for compiler in "${real}"/*; do
    name="${compiler##*/}"
    if [[ "${name}" =~ ^(.*-)?(gcc|g\+\+|c\+\+|cc|cpp|gfortran)(-[0-9.]+)?$ ]]; then
        ln -s "${wrapper##*/}" "/usr/local/bin/${name}"
    fi
done
hash -r
gcc -v -x c -E /dev/null 2>&1 | grep -q -- '-march=x86-64 ' || die "gcc still compiles for more than x86-64"
