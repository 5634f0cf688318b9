#!/bin/bash
# What the steps on distribution packages share: package lists, the package manager of the family, cleaning of docs

: "${FAMILY:?}" "${LIBC:?}" "${PLATFORM:?}" "${PACKAGE_SETS:?}"
PACKAGES="${HERE}/../packages"

# Prints the packages of one layer for this platform, one a line; docker/packages/README.md describes the files.
packages_of() {
    local layer="$1" set file line name restriction found=""
    for set in ${PACKAGE_SETS}; do
        [[ -d "${PACKAGES}/${set}" ]] || die "no package set '${set}' in docker/packages"
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
    [[ -n "${found}" ]] || die "no package set of '${PACKAGE_SETS}' has a layer '${layer}'"
}

# Whether a package set of this image lists packages of that layer.
has_packages() {
    local set
    for set in ${PACKAGE_SETS}; do
        if [[ -f "${PACKAGES}/${set}/$1.txt" ]]; then return 0; fi
    done
    return 1
}

# Deletes what only a reader of manuals in another language would miss, as facts of every family.
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
        source "${HERE}/${FAMILY}.sh"
        ;;
    *) die "unknown family '${FAMILY}': docker/build_scripts has none of that name" ;;
esac
