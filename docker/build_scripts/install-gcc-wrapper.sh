#!/bin/bash
# Puts a wrapper before compilers whose default is beyond baseline x86-64 (RHEL 9 and later, x86_64)
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
: "${PLATFORM:?}"

# Prints the -march that gcc hands to its compiler: that is the default. `gcc -v` alone shows only how gcc was configured.
target_of() {
    "$1" -v -x c -E /dev/null 2>&1 | sed -n -E 's/.* -march=([^ '"'"']+).*/\1/p' | sort -u
}

[[ "${PLATFORM}" == x86_64 ]] || exit 0
[[ "$(target_of gcc)" == x86-64-v* ]] || exit 0

real="$(dirname "$(command -v gcc)")"
wrapper=/usr/local/bin/manylinux-baseline-compiler
gcc -O2 -Wall -Wextra -Werror -march=x86-64 -mtune=generic -DREAL_DIRECTORY="\"${real}\"" -o "${wrapper}" "${HERE}/../src/baseline-compiler.c"
strip "${wrapper}"
for compiler in "${real}"/*; do
    name="${compiler##*/}"
    if [[ "${name}" =~ ^(.*-)?(gcc|g\+\+|c\+\+|cc|cpp|gfortran)(-[0-9.]+)?$ ]]; then
        ln -sf "${wrapper##*/}" "/usr/local/bin/${name}"
    fi
done
hash -r
[[ "$(target_of gcc)" == x86-64 ]] || die "gcc still compiles for $(target_of gcc)"
