#!/bin/bash
# Adapts the distribution to components: those named, before they are compiled; without arguments those installed already
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/system.sh
source "${HERE}/lib/system.sh"

components_in_place() {
    compgen -G '/opt/_internal/openssl-*' >/dev/null && printf 'openssl '
    [[ -d /opt/_internal/curl-4 ]] && printf 'curl '
    [[ -e /usr/local/lib/libtk8.6.so ]] && printf 'tcltk '
    [[ -e /usr/local/lib/libcrypt.so.2 ]] && printf 'libxcrypt '
    return 0
}

use_site
if (($#)); then components=("$@"); else read -r -a components <<<"$(components_in_place)"; fi
for component in ${components[@]+"${components[@]}"}; do
    # Only CentOS 7 has packages that conflict with ours.
    if declare -F prepare_component >/dev/null; then prepare_component "${component}"; fi
    if (($#)) && has_packages "${component}"; then
        list="$(packages_of "${component}")"
        mapfile -t names <<<"${list}"
        install "${names[@]}"
    fi
done
