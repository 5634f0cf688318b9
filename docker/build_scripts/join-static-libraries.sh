#!/bin/bash
# Joins the interpreters' parts into one archive of static libraries, for users who embed Python; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
ARCHIVE="${ROOTFS}/opt/_internal/static-libs-for-embedding-only.tar.xz"

mkdir -p "${ARCHIVE%/*}"
parts=(/static/*.tar.xz)
cat "${parts[@]}" >"${ARCHIVE}"
head -c 1024 /dev/zero | xz -9e >>"${ARCHIVE}" # a tar ends with two blocks of zeros
[[ "$(tar -tf "${ARCHIVE}" | wc -l)" == "${#parts[@]}" ]] || die "the archive of static libraries cannot be read"
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH="$(stat -c %Y "${parts[@]}" | sort -n | tail -n 1)"
clamp_times "${ROOTFS}"
