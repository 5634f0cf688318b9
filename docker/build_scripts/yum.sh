#!/bin/bash
# yum on CentOS 7 (ClefOS on s390x): past its end of life, so that every repository is an archive

EPEL=https://archives.fedoraproject.org/pub/archive/epel/7/x86_64/Packages/e/epel-release-7-14.noarch.rpm
DEVTOOLSET_I686=https://copr.fedorainfracloud.org/coprs/mayeut/devtoolset-10/repo/custom-1/mayeut-devtoolset-10-custom-1.repo

# A repository that cannot be reached ends the build, whatever its file says.
yum_() {
    local options=(-y --setopt=skip_if_unavailable=False '--setopt=*.skip_if_unavailable=False')
    if [[ -s /run/secrets/ca ]]; then
        options+=(--setopt=sslcacert=/run/secrets/ca)
    fi
    yum "${options[@]}" "$@"
}

repositories() {
    set_option multilib_policy best # https://unix.stackexchange.com/questions/41784
    set_option skip_missing_names_on_install False
    sed -i '/^override_install_langs=/d' /etc/yum.conf
    fixup-mirrors
    if [[ "${PLATFORM}" == i686 ]]; then
        echo i386 >/etc/yum/vars/basearch # the kernel may be x86_64
        yum_ install util-linux-ng        # linux32
    fi
    remove_leftovers
}

# Other repositories come last: their packages need an updated base.
upgrade() {
    fixup-mirrors
    yum_ update
    fixup-mirrors # the update brought the repository files back
    if ! localedef --version >/dev/null; then
        # Removed from some base images to make them smaller
        yum_ reinstall glibc-common
    fi
    yum_ install yum-utils curl
    yum-config-manager --enable extras
    add_compilers
}

# Settings of yum itself, each once however often this runs
set_option() {
    sed -i "/^$1=/d" /etc/yum.conf
    sed -i "/^\[main\]/a $1=$2" /etc/yum.conf
}

# The base image on aarch64 holds a kernel and parts of a virtual machine by mistake.
remove_leftovers() {
    local package
    for package in kernel-modules kernel-core; do
        if rpm -q "${package}"; then
            rpm --erase --noscripts "${package}"
        fi
    done
    if rpm -q bind-license; then
        yum_ erase bind-license qemu-guest-agent
    fi
}

# Where devtoolset-10 and yasm come from
add_compilers() {
    case "${PLATFORM}" in
        i686)
            # Software Collections never had it for 32 bits.
            curl -fsSL --retry 5 -o /etc/yum.repos.d/mayeut-devtoolset-10.repo "${DEVTOOLSET_I686}"
            ;;
        x86_64)
            yum_ install centos-release-scl-rh
            fixup-mirrors
            if ! rpm -q epel-release; then
                yum_ install "${EPEL}" # yasm
            fi
            ;;
        aarch64 | ppc64le | s390x) yum_ install centos-release-scl-rh ;;
        *) die "no devtoolset-10 is known for '${PLATFORM}'" ;;
    esac
    fixup-mirrors
}

install() {
    yum_ install "$@"
}

# prepare_component NAME: what the distribution must lack where a component is compiled or present. The headers of a
# library that is built here would win over our own.
prepare_component() {
    case "$1" in
        openssl) erase openssl-devel ;;
        curl) erase curl-devel ;;
        tcltk) erase tcl tk ;;
        libxcrypt) replace_libcrypt ;;
        *) ;; # lives beside the distribution's
    esac
}

erase() {
    local package
    for package in "$@"; do
        if rpm -q --whatprovides "${package}"; then
            yum_ erase "${package}"
        fi
    done
}

# As soon as ours is there; updates bring glibc's back.
replace_libcrypt() {
    rm -f /usr/include/crypt.h
    if [[ -e /usr/local/lib/libcrypt.so.1 ]]; then
        find /usr/lib /usr/lib64 \( -name 'libcrypt.so*' -o -name 'libcrypt-*.so' -o -name libcrypt.a \) -delete
        ldconfig
    fi
}

# glibc 2.17 never gives the space of deleted locales back: build the archive again from what is left of it.
shrink_locale_archive() {
    mv /usr/lib/locale/locale-archive /usr/lib/locale/locale-archive.tmpl
    build-locale-archive --install-langs=en_US.utf8
}

clean() {
    yum clean all
    rm -rf /var/cache/yum /var/lib/yum/history /var/lib/yum/yumdb /var/log/anaconda
}
