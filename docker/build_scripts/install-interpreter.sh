#!/bin/bash
# Installs one prebuilt interpreter (its tag is the argument) as manylinux-interpreters does in a finished image; glibc images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
: "${POLICY:?}" "${PLATFORM:?}" "${TOOLS_PYTHON:?}"
TAG="${1:?the tag of an interpreter}"

use_site
export AUDITWHEEL_POLICY="${POLICY}" AUDITWHEEL_ARCH="${PLATFORM}" MANYLINUX_SOURCES=/sources
PYTHON=("/opt/python/${TOOLS_PYTHON}/bin/python" -IB)
PREFIX="/opt/_internal/${TAG}"
read -r VERSION URL SHA256 < <("${PYTHON[@]}" "${HERE}/show_download.py" /opt/_internal/manylinux/downloads.toml "${TAG}" "${PLATFORM}")

started="$(mktemp)"
"${PYTHON[@]}" /usr/local/bin/manylinux-interpreters ensure "${TAG}"
# The newest file of the archive dates the layer. Files that pip installed are newer than the start of this script.
SOURCE_DATE_EPOCH="$(find "${PREFIX}" -type f ! -newer "${started}" -exec stat -c %Y {} + | sort -n | tail -n 1)"
export SOURCE_DATE_EPOCH

mkdir -p "${ROOTFS}/opt/_internal" "${ROOTFS}/opt/python" "${ROOTFS}/usr/local/bin"
launcher="$(grep -l -F "exec /opt/python/${TAG}/" /usr/local/bin/*)"
mv "${PREFIX}" "${ROOTFS}/opt/_internal/"
mv "/opt/python/${TAG}" "${ROOTFS}/opt/python/"
mv "${launcher}" "${ROOTFS}/usr/local/bin/"
record interpreter "${TAG}" "${VERSION}" "${URL}" "${SHA256}"
clamp_times "${ROOTFS}"
