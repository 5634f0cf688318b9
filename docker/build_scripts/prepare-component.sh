#!/bin/bash
# Adapts the distribution to components that are compiled (named as arguments) or in place already (no arguments)
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"
# shellcheck source=docker/build_scripts/system.sh
source "${HERE}/system.sh"

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
    # Only where the distribution's own packages get in the way
    if declare -F prepare_component >/dev/null; then prepare_component "${component}"; fi
    if (($#)) && has_packages "${component}"; then
        list="$(packages_of "${component}")"
        mapfile -t names <<<"${list}"
        install "${names[@]}"
    fi
done
