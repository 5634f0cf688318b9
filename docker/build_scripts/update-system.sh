#!/bin/bash
# Enables the distribution's repositories and updates the base image; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/system.sh
source "${HERE}/lib/system.sh"
use_site

repositories
upgrade
