#!/bin/bash
# dnf: AlmaLinux, Rocky Linux, Anolis OS

# An unreachable repository ends the build, even one whose file sets skip_if_unavailable.
dnf_() {
    local options=(-y --setopt=skip_if_unavailable=False '--setopt=*.skip_if_unavailable=False')
    if [[ -s /run/secrets/ca ]]; then
        options+=(--setopt=sslcacert=/run/secrets/ca)
    fi
    dnf "${options[@]}" "$@"
}

repositories() {
    if ! grep -q '^tsflags=nodocs$' /etc/dnf/dnf.conf; then
        edit /etc/dnf/dnf.conf '/^\[main\]/a tsflags=nodocs'
    fi
    dnf_ install dnf-plugins-core # config-manager
    case "${DISTRIBUTION}" in
        almalinux-8) dnf_ config-manager --set-enabled powertools ;;
        almalinux-* | rockylinux-*) dnf_ config-manager --set-enabled crb ;;
        anolisos-*) ;; # its development packages are enabled already
        *) die "unknown distribution '${DISTRIBUTION}': add the repository of its development packages to dnf.sh" ;;
    esac
    case "${DISTRIBUTION}-${PLATFORM}" in
        *-i686 | *-riscv64) ;; # EPEL has no packages for them
        anolisos-*) dnf_ install anolis-epao-release ;;
        *) dnf_ install epel-release ;;
    esac
}

upgrade() {
    dnf_ upgrade
}

install() {
    dnf_ install --allowerasing "$@"
}

shrink_locale_archive() {
    : # localedef has shrunk it already
}

clean() {
    dnf clean all
    rm -rf /var/cache/dnf /var/cache/yum /var/lib/dnf/history.sqlite* /var/log/dnf* /var/log/hawkey.log
}
