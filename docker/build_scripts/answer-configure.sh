#!/bin/bash
# Answers, once for all CPythons, what their configure asks about the C library; all images. Writes /answers/config.site
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/configure.sh
source "${HERE}/lib/configure.sh"

mkdir -p /answers
cd "$(mktemp -d)"
{
    answer_functions
    answer_sizes
    answer_headers_and_types
} >/answers/config.site
echo "answered $(wc -l </answers/config.site) questions of configure"
