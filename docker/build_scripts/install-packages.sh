#!/bin/bash
# Installs the packages of the given layers: policy, runtime, base, toolchain, build
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/system.sh
source "${HERE}/lib/system.sh"
use_site

(($#)) || die "usage: install-packages.sh LAYER..."
list=""
for layer in "$@"; do
    list+="$(packages_of "${layer}")"$'\n'
done
mapfile -t names <<<"${list%$'\n'}"
install "${names[@]}"
