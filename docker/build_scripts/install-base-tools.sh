#!/bin/bash
# Installs pipx, certifi, and the pip that pipx shares among its tools; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/tools.sh
source "${HERE}/lib/tools.sh"
REQUIREMENTS="${HERE}/../requirements"

download_wheels "${REQUIREMENTS}/base.txt" --only-binary :all:
make_venv "${TOOLS}"
install_offline "${TOOLS}" pipx certifi
rm -rf "${WHEELS}"
base_epoch="${SOURCE_DATE_EPOCH}"

download_wheels "${REQUIREMENTS}/interpreter/${MINOR}.txt" --only-binary :all:
make_venv "${PIPX_HOME}/shared"
install_offline "${PIPX_HOME}/shared" pip
if ((base_epoch > SOURCE_DATE_EPOCH)); then SOURCE_DATE_EPOCH="${base_epoch}"; fi

bundle="$("${TOOLS}/bin/python" -m certifi)"
ln -sfn "${bundle#/opt/_internal/}" /opt/_internal/certs.pem
name_python_by_tag "${TOOLS}"
for name in pipx certifi; do
    record tool "${name}" "$("${TOOLS}/bin/python" -c 'import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))' "${name}")"
done
mkdir -p "${ROOTFS}${PIPX_HOME}"
cp -a "${TOOLS}" /opt/_internal/certs.pem "${ROOTFS}/opt/_internal/"
cp -a "${PIPX_HOME}/shared" "${ROOTFS}${PIPX_HOME}/"
find "${ROOTFS}" -name __pycache__ -exec rm -rf {} +
finish
"${TOOLS}/bin/pipx" --version >/dev/null || die "pipx does not run"
