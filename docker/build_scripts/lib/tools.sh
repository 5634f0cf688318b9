#!/bin/bash
# What the stages of Python tools share. They name the interpreter by its tag alone: its next micro version changes no layer
# of a tool.

: "${TOOLS_PYTHON:?}" # tag of the interpreter that runs the tools
keep_bytecode
PYTHON="/opt/python/${TOOLS_PYTHON}/bin/python"
MINOR="$("${PYTHON}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
export TOOLS=/opt/_internal/tools
WHEELS=/build/wheels
export PIPX_HOME=/opt/_internal/pipx PIPX_BIN_DIR=/usr/local/bin PIPX_MAN_DIR=/usr/local/share/man
export PIPX_DEFAULT_PYTHON="${PYTHON}" PIPX_DISABLE_SHARED_LIBS_AUTO_UPGRADE=1

# download_wheels LOCK [OPTION...]: downloads and verifies exactly what a lock lists; an incomplete lock makes the offline
# installation fail. SOURCE_DATE_EPOCH becomes the date of the newest file in the wheels.
download_wheels() {
    local lock="$1"
    shift
    use_site
    "${PYTHON}" -m pip download --no-cache-dir --quiet --no-deps --require-hashes --dest "${WHEELS}" \
        --requirement "${lock}" "$@"
    SOURCE_DATE_EPOCH="$("${PYTHON}" "${HERE}/newest_in_wheels.py" "${WHEELS}"/*)"
    export SOURCE_DATE_EPOCH
}

# install_offline VENV REQUIREMENT...: installs from the downloaded wheels.
install_offline() {
    local venv="$1"
    shift
    "${PYTHON}" -m pip --python "${venv}/bin/python" install --quiet --no-index --find-links "${WHEELS}" --no-compile "$@"
}

make_venv() {
    "${PYTHON}" -m venv --without-pip "$1"
    name_python_by_tag "$1"
}

# name_python_by_tag VENV: leaves in it the interpreter's path by tag and its minor, no micro version and no path of this build.
name_python_by_tag() {
    local venv="$1"
    ln -sfn "${PYTHON}" "${venv}/bin/python"
    ln -sfn python "${venv}/bin/python3"
    ln -sfn python "${venv}/bin/python${MINOR}"
    printf '%s\n' "home = ${PYTHON%/*}" "include-system-site-packages = false" "version = ${MINOR}" "executable = ${PYTHON}" >"${venv}/pyvenv.cfg"
    # Only bytecode caches contain the directory with the micro version.
    find "${venv}" -name __pycache__ -exec rm -rf {} +
}
