#!/bin/bash
# Adapts the distribution to components built from source: what they need, and what must not be there beside them
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"
# shellcheck source=docker/build_scripts/system.sh
source "${HERE}/system.sh"

for component in "$@"; do
    if declare -F prepare_component >/dev/null; then prepare_component "${component}"; fi
done
