#!/bin/bash
# What the steps on distribution packages share: package lists, the family's package manager, removal of translations

: "${FAMILY:?}" "${LIBC:?}" "${PLATFORM:?}" "${PACKAGE_SETS:?}"
PACKAGES="${HERE}/../packages"

# packages_of LAYER: prints its packages for this platform, one a line; docker/packages/README.md describes the files.
packages_of() {
    local layer="$1" set file line name restriction found=""
    for set in ${PACKAGE_SETS}; do
        [[ -d "${PACKAGES}/${set}" ]] || die "no package set '${set}': docker/packages has no such directory"
        file="${PACKAGES}/${set}/${layer}.txt"
        [[ -f "${file}" ]] || continue
        found=yes
        while read -r line; do
            read -r name restriction <<<"${line%%#*}"
            [[ -n "${name}" ]] || continue
            case "${restriction}" in
                "" | "[${PLATFORM}]") echo "${name}" ;;
                "[!${PLATFORM}]") ;;
                "[!"*"]") echo "${name}" ;;
                "["*"]") ;;
                *) die "${file}: cannot read '${line}': write 'name', 'name [platform]' or 'name [!platform]'" ;;
            esac
        done <"${file}"
    done
    [[ -n "${found}" ]] || die "no package set of '${PACKAGE_SETS}' has a layer '${layer}': add ${layer}.txt to one of them in docker/packages"
}

# has_packages LAYER: whether a package set of this image has that layer.
has_packages() {
    local set
    for set in ${PACKAGE_SETS}; do
        if [[ -f "${PACKAGES}/${set}/$1.txt" ]]; then return 0; fi
    done
    return 1
}

# Removes the translations of messages into languages other than English, in every family alike.
remove_translations() {
    local directory
    for directory in /usr/share/locale /usr/local/share/locale "${DEVTOOLSET_ROOTPATH:-}/usr/share/locale"; do
        [[ -d "${directory}" ]] || continue
        find "${directory}" -mindepth 1 -maxdepth 1 ! -name 'en*' ! -name locale.alias -exec rm -rf {} +
    done
}

case "${FAMILY}" in
    rhel | debian | alpine)
        # shellcheck source=/dev/null
        source "${HERE}/lib/${FAMILY}.sh"
        ;;
    *) die "unknown family '${FAMILY}': add docker/build_scripts/lib/${FAMILY}.sh and name it in system.sh" ;;
esac
