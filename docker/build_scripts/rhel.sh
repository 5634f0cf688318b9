#!/bin/bash
# RHEL family: what its releases share; the package manager's part is in yum.sh (CentOS 7) and dnf.sh (all later ones)

case "${DISTRIBUTION:?}" in
    centos-7)
        # shellcheck source=docker/build_scripts/yum.sh
        source "${HERE}/yum.sh"
        ;;
    almalinux-* | rockylinux-* | anolisos-*)
        # shellcheck source=docker/build_scripts/dnf.sh
        source "${HERE}/dnf.sh"
        ;;
    *) die "unknown distribution '${DISTRIBUTION}' of the RHEL family: name its package manager in rhel.sh" ;;
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
        *) die "unknown toolset '${TOOLSET}': say in rhel.sh whether its libstdc++.so needs a repair" ;;
    esac
    # Autoconf looks for <host>-pkg-config; the package has it under the name of an older processor.
    local pkg_config=/usr/bin/i386-redhat-linux-gnu-pkg-config
    if [[ "${PLATFORM}" == i686 && -e "${pkg_config}" ]]; then
        ln -sf "${pkg_config##*/}" "${pkg_config/i386/i686}"
    fi
}

# The toolset's libstdc++.so is a linker script: the system's library, then a static one with what that lacks. With
# --as-needed, symbols that the static part needs are unresolved unless the library is named again after it.
# https://github.com/pypa/manylinux/issues/1760
name_libstdcxx_twice() {
    find "${DEVTOOLSET_ROOTPATH:?}/usr/lib/gcc" -name libstdc++.so -type f -exec \
        sed -i -E 's/^INPUT \( ([^ ]+) ([^ ]+) \)$/INPUT ( \1 \2 \1 )/' {} +
}
