#!/bin/bash
# Installs the release binary of git-lfs for this architecture; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
read_pin git-lfs
: "${GOARCH:?}"

url="${URL/\{goarch\}/${GOARCH}}"
sha256="$(tr ' ' '\n' <<<"${SHA256}" | sed -n "s/^${GOARCH}://p")"
[[ -n "${sha256}" ]] || die "git-lfs ${VERSION} has no file for ${GOARCH}: add its sha256 to ARG GIT_LFS_SHA256"
fetch_source "${url}" "${sha256}" /build/source
install -D -m 755 /build/source/git-lfs "${ROOTFS}/usr/local/bin/git-lfs"
# The settings that `git lfs install` would write, here for every user; this stage has no git
mkdir -p "${ROOTFS}/usr/local/etc"
cat >"${ROOTFS}/usr/local/etc/gitconfig" <<'G'
[filter "lfs"]
	clean = git-lfs clean -- %f
	smudge = git-lfs smudge -- %f
	process = git-lfs filter-process
	required = true
G
record component git-lfs "${VERSION}" "${url}" "${sha256}"
finish
shows "^git-lfs/${VERSION} " "${ROOTFS}/usr/local/bin/git-lfs" version || die "git-lfs does not run as ${VERSION}"
