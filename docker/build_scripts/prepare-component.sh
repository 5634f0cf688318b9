#!/bin/bash
# Adapts the distribution to components that are compiled (named as arguments) or in place already (no arguments); CentOS 7
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"
# shellcheck source=docker/build_scripts/system.sh
source "${HERE}/system.sh"

components_in_place() {
    compgen -G '/opt/_internal/openssl-*' >/dev/null && echo openssl
    [[ -d /opt/_internal/curl-4 ]] && echo curl
    [[ -e /usr/local/lib/libtk8.6.so ]] && echo tcltk
    [[ -e /usr/local/lib/libcrypt.so.2 ]] && echo libxcrypt
    return 0
}

declare -F prepare_component >/dev/null || exit 0 # families whose packages do not get in the way have none
if (($#)); then components=("$@"); else mapfile -t components < <(components_in_place); fi
for component in "${components[@]+"${components[@]}"}"; do
    use_site
    prepare_component "${component}"
done
