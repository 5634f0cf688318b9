#!/bin/bash
# Dates the files that are copied as they are; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"

export SOURCE_DATE_EPOCH=315532800 # a checkout has no dates of its own; the oldest that every archive format can hold
clamp_times "${ROOTFS}"
