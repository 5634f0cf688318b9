#!/bin/bash
# Removes caches, manuals and translations; every layer that installs packages ends with it
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/system.sh
source "${HERE}/lib/system.sh"

clean
remove_translations
# The directory itself stays: /usr/local/man may be a link to it (https://github.com/pypa/manylinux/issues/1060)
if [[ -d /usr/local/share/man ]]; then
    find /usr/local/share/man -mindepth 1 -delete
fi
rm -rf /usr/share/backgrounds
if [[ -n "${DEVTOOLSET_ROOTPATH-}" ]]; then
    rm -rf "${DEVTOOLSET_ROOTPATH}/usr/share/man"
fi
find /tmp /var/tmp -xdev -mindepth 1 -delete
