#!/bin/bash
# Removes caches, manuals and translations; run it in every layer that installs packages
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib.sh
source "${HERE}/lib.sh"
# shellcheck source=docker/build_scripts/system.sh
source "${HERE}/system.sh"

clean
remove_translations
# Only the content: /usr/local/man may be a link to it (https://github.com/pypa/manylinux/issues/1060)
if [[ -d /usr/local/share/man ]]; then
    find /usr/local/share/man -mindepth 1 -delete
fi
rm -rf /usr/share/backgrounds
if [[ -n "${DEVTOOLSET_ROOTPATH-}" ]]; then
    rm -rf "${DEVTOOLSET_ROOTPATH}/usr/share/man"
fi
find /tmp /var/tmp -xdev -mindepth 1 -delete
