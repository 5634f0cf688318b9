#!/bin/bash
# RHEL family: what its releases share; yum.sh (CentOS 7) and dnf.sh (later releases) drive the package managers

case "${DISTRIBUTION:?}" in
    centos-7)
        # shellcheck source=docker/build_scripts/lib/yum.sh
        source "${HERE}/lib/yum.sh"
        ;;
    almalinux-* | rockylinux-* | anolisos-*)
        # shellcheck source=docker/build_scripts/lib/dnf.sh
        source "${HERE}/lib/dnf.sh"
        ;;
    *) die "unknown distribution '${DISTRIBUTION}' of the RHEL family: add it to rhel.sh, with its package manager" ;;
esac

set_locale() {
    localedef -i en_US -f UTF-8 en_US.UTF-8
    local others
    others="$(localedef --list-archive | sed '/^en_US\.utf8$/Id')"
    if [[ -n "${others}" ]]; then
        xargs localedef --delete-from-archive <<<"${others}"
    fi
    shrink_locale_archive
}

set_default_shell() {
    usermod --shell /bin/bash root
    useradd --defaults --shell /bin/bash
}

repair_toolset() {
    case "${TOOLSET?}" in
        gcc-toolset-*) name_libstdcxx_twice ;;
        devtoolset-10 | "") ;;
        *) die "unknown toolset '${TOOLSET}': add it to rhel.sh, with or without the repair of libstdc++.so" ;;
    esac
    # Autoconf looks for i686-redhat-linux-gnu-pkg-config; the package names the program i386-redhat-linux-gnu-pkg-config.
    local pkg_config=/usr/bin/i386-redhat-linux-gnu-pkg-config
    if [[ "${PLATFORM}" == i686 && -e "${pkg_config}" ]]; then
        ln -sf "${pkg_config##*/}" "${pkg_config/i386/i686}"
    fi
}

# The toolset's libstdc++.so is a linker script that names the system's library, then a static one with newer symbols. With
# --as-needed the linker drops the system's library before it reads the static one, so the script names it again afterwards.
# An image that is updated comes here twice, an update of the package brings the old script back.
# https://github.com/pypa/manylinux/issues/1760
name_libstdcxx_twice() {
    local scripts script
    scripts="$(find "${DEVTOOLSET_ROOTPATH:?}/usr/lib/gcc" -name libstdc++.so -type f)"
    while read -r script; do
        if ! grep -qE '^INPUT \( ([^ ]+) [^ ]+ \1 \)$' "${script}"; then
            edit "${script}" 's/^INPUT \( ([^ ]+) ([^ ]+) \)$/INPUT ( \1 \2 \1 )/'
        fi
    done <<<"${scripts:?no libstdc++.so in ${DEVTOOLSET_ROOTPATH}}"
}
