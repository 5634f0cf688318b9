#!/bin/bash
# What all build scripts share: errors, pins, the site's settings, verified downloads, compiler flags, the end of a stage

# A 32-bit image may run on a 64-bit kernel. `uname -m` must name 32 bits, or configure scripts build for the kernel's processor.
if [[ "$(getconf LONG_BIT)" == 32 && "$(uname -m)" == *64 ]] && command -v linux32 >/dev/null; then
    exec linux32 bash "$0" "$@"
fi

export LC_ALL=C PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
umask 022

# Flags for everything compiled here. -g0: debug information would be stripped anyway; without it builds are a fifth faster.
HARDEN_CPPFLAGS="-Wdate-time -D_FORTIFY_SOURCE=2"
HARDEN_CFLAGS="-O2 -g0 -pipe -Wall -fstack-protector-strong -Wformat -Werror=format-security -fdebug-prefix-map=/=."
HARDEN_LDFLAGS="-Wl,-Bsymbolic-functions -Wl,-z,relro -Wl,-z,now"
export HARDEN_CPPFLAGS HARDEN_CFLAGS HARDEN_LDFLAGS

# ROOTFS holds what the image gets of a stage, DEVROOT what later stages need in addition to compile against it.
ROOTFS=/rootfs
DEVROOT=/devroot
MAX_SOURCE_KIB=204800 # no source archive is larger; a download that grows beyond this is the wrong file
OLDEST_DATE=315619200 # 1980-01-02: zip holds dates from 1980-01-01 on, in local time, which may lie west of UTC
export ROOTFS DEVROOT

die() {
    echo "error: $*" >&2
    exit 1
}

# argument NAME FIELD: prints the build argument NAME_FIELD, as in GIT_LFS_URL for git-lfs. A RUN has those of its stage in
# its environment.
argument() {
    local name="${1//[-.]/_}"
    name="${name^^}_$2"
    [[ -n "${!name:-}" ]] || die "no ${name} in the environment: add it to the ARG of this stage in docker/Dockerfile"
    printf '%s\n' "${!name}"
}

# read_pin NAME: sets VERSION, URL and SHA256 from the build arguments of a pin.
# shellcheck disable=SC2034
read_pin() {
    VERSION="$(argument "$1" VERSION)"
    URL="$(argument "$1" URL)"
    SHA256="$(argument "$1" SHA256)"
}

# Exports the site's certificates and Python index for this step only: they are build secrets and never enter a layer.
use_site() {
    if [[ -s /run/secrets/ca ]]; then
        export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca REQUESTS_CA_BUNDLE=/run/secrets/ca
        export CURL_CA_BUNDLE=/run/secrets/ca GIT_SSL_CAINFO=/run/secrets/ca
    fi
    if [[ -s /run/secrets/pip ]]; then
        export PIP_CONFIG_FILE=/run/secrets/pip
    fi
}

# For stages that run Python often: Python keeps its bytecode for the next run, in a directory that does not leave the stage.
keep_bytecode() {
    unset PYTHONDONTWRITEBYTECODE
    export PYTHONPYCACHEPREFIX=/build/pycache
}

# shows PATTERN COMMAND...: whether the command succeeds and prints a line that matches. `command | grep -q` would fail now and
# then: grep ends at the first match, and a command that still prints then breaks the pipe.
shows() {
    local pattern="$1" said
    shift
    said="$("$@")" || return 1
    grep -Eq -e "${pattern}" <<<"${said}"
}

# edit FILE EXPRESSION...: edits a text file with expressions of sed -E, one after the other. It is an error if one of them changes
# nothing: what it was written for has another form now.
edit() {
    local file="$1" expression edited
    edited="$(mktemp)"
    shift
    for expression in "$@"; do
        sed -E -e "${expression}" "${file}" >"${edited}"
        if [[ "$(<"${file}")" == "$(<"${edited}")" ]]; then
            die "${file} has nothing for sed -E '${expression}' to change: adapt ${BASH_SOURCE[1]##*/}, line ${BASH_LINENO[0]}"
        fi
        cat "${edited}" >"${file}" # not mv: mode and owner stay
    done
    rm -f "${edited}"
}

has_sha256() {
    echo "$2  $1" | sha256sum -c - >/dev/null 2>&1
}

# Prints a URL and its mirrors from docker/mirrors.txt, in the order in which they are tried.
with_mirrors() {
    local url="$1" prefix alternatives alternative
    echo "${url}"
    while read -r prefix alternatives || [[ -n "${prefix}" ]]; do
        [[ -n "${prefix}" && "${prefix}" != "#"* && "${url}" == "${prefix}"* ]] || continue
        for alternative in ${alternatives}; do
            echo "${alternative}${url#"${prefix}"}"
        done
    done <"$(dirname "${BASH_SOURCE[0]}")/../../mirrors.txt"
}

# download URL SHA256 FILE: gets the file from /sources (prefetched), the URL or a mirror. FILE appears only if its hash is right.
download() {
    local url="$1" sha256="$2" file="$3" attempt candidate part="$3.part"
    for candidate in "/sources/${url##*/}" /sources/*/"${url##*/}"; do
        [[ -f "${candidate}" ]] || continue
        cp "${candidate}" "${part}"
        if has_sha256 "${part}" "${sha256}"; then
            mv "${part}" "${file}"
            return 0
        fi
        echo "warning: ${candidate} does not have the pinned sha256 ${sha256}; downloading the file instead" >&2
    done
    for attempt in 1 2 3; do
        while read -r candidate; do
            echo "download ${candidate}" >&2
            rm -f "${part}"
            if ! (
                ulimit -f "${MAX_SOURCE_KIB}"
                curl --fail --silent --show-error --location --connect-timeout 20 --speed-limit 1000 --speed-time 60 \
                    --max-time 1200 --output "${part}" "${candidate}"
            ); then
                continue
            fi
            if has_sha256 "${part}" "${sha256}"; then
                mv "${part}" "${file}"
                return 0
            fi
            echo "warning: ${candidate} gave $(wc -c <"${part}") bytes that are not sha256 ${sha256}" >&2
        done < <(with_mirrors "${url}")
        sleep $((attempt * 2))
    done
    die "cannot download ${url}: check the network, or run 'invoke prefetch' where there is one, or put the file into docker/sources"
}

# fetch_source URL SHA256 DIRECTORY: unpacks the verified archive without its top directory. SOURCE_DATE_EPOCH becomes the date
# of its newest file; clamp_times dates the result of the stage by it.
fetch_source() {
    local url="$1" sha256="$2" directory="$3" archive
    archive="$(mktemp -d)/${url##*/}"
    download "${url}" "${sha256}" "${archive}"
    mkdir -p "${directory}"
    tar -xf "${archive}" -C "${directory}" --strip-components=1 --no-same-owner
    rm -rf "$(dirname "${archive}")"
    SOURCE_DATE_EPOCH="$(find "${directory}" -type f -exec stat -c %Y {} + | sort -n | tail -n 1)"
    export SOURCE_DATE_EPOCH
}

# record KIND NAME VERSION [URL SHA256]: writes an entry of the image's manifest.
record() {
    local kind="$1" name="$2" version="$3" url="${4:-}" sha256="${5:-}"
    mkdir -p "${ROOTFS}/opt/_internal/manifest.d"
    printf '{"kind": "%s", "name": "%s", "version": "%s", "url": "%s", "sha256": "%s"}\n' \
        "${kind}" "${name}" "${version}" "${url}" "${sha256}" >"${ROOTFS}/opt/_internal/manifest.d/${name}.json"
}

# Strips every ELF file below a directory; static libraries lose only their debug information.
strip_tree() {
    local file magic
    while read -r -d '' file; do
        if ! LC_ALL=C read -r -N 4 magic <"${file}" 2>/dev/null || [[ "${magic}" != $'\x7fELF' ]]; then
            continue
        fi
        strip --strip-unneeded "${file}"
    done < <(find "$1" -type f ! -name '*.o' \( -perm -u+x -o -name '*.so*' \) -print0)
    find "$1" -type f -name '*.a' -exec strip --strip-debug --enable-deterministic-archives {} +
}

# Replaces identical files below a directory by hard links to the first of them.
link_duplicates() {
    local sum file last="" kept=""
    while read -r sum file; do
        if [[ "${sum}" != "${last}" ]]; then
            last="${sum}" kept="${file}"
        elif [[ "$(stat -c %a "${kept}")" == "$(stat -c %a "${file}")" ]]; then
            ln -f "${kept}" "${file}"
        fi
    done < <(find "$1" -type f -size +0 -exec sha256sum {} + | sort)
}

# Dates the given directories and everything in them like the source, so that a rebuild gives the same layer.
clamp_times() {
    local directory date="${SOURCE_DATE_EPOCH:?}"
    if ((date < OLDEST_DATE)); then date="${OLDEST_DATE}"; fi
    for directory in "$@"; do
        find "${directory}" -exec touch -h -d "@${date}" {} +
    done
}

# The end of every component stage.
finish() {
    mkdir -p "${ROOTFS}" "${DEVROOT}"
    find "${ROOTFS}" "${DEVROOT}" -name '*.la' -delete
    strip_tree "${ROOTFS}"
    clamp_times "${ROOTFS}" "${DEVROOT}"
}
