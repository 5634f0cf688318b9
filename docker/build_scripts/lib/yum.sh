#!/bin/bash
# yum on CentOS 7 (ClefOS on s390x): past its end of life, so every repository is an archive

EPEL=https://archives.fedoraproject.org/pub/archive/epel/7/x86_64/Packages/e/epel-release-7-14.noarch.rpm
DEVTOOLSET_I686=https://copr.fedorainfracloud.org/coprs/mayeut/devtoolset-10/repo/custom-1/mayeut-devtoolset-10-custom-1.repo

# An unreachable repository ends the build, even one whose file sets skip_if_unavailable.
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
    if grep -q '^override_install_langs=' /etc/yum.conf; then edit /etc/yum.conf '/^override_install_langs=/d'; fi
    fixup-mirrors
    if [[ "${PLATFORM}" == i686 ]]; then
        echo i386 >/etc/yum/vars/basearch # the kernel may be x86_64
        yum_ install util-linux-ng        # linux32
    fi
    remove_leftovers
}

# The repositories of the compilers come last: their packages need an updated base.
upgrade() {
    fixup-mirrors
    yum_ update
    fixup-mirrors # the update brought the repository files back
    if ! localedef --version >/dev/null; then
        # Some base images lack it, to be smaller.
        yum_ reinstall glibc-common
    fi
    yum_ install yum-utils curl
    yum-config-manager --enable extras
    add_compilers
}

# set_option KEY VALUE: sets an option of yum; repeated calls leave one line.
set_option() {
    if grep -q "^$1=" /etc/yum.conf; then edit /etc/yum.conf "/^$1=/d"; fi
    edit /etc/yum.conf "/^\[main\]/a $1=$2"
}

# The base image on aarch64 contains a kernel and parts of a virtual machine by mistake.
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

# Adds the repositories of devtoolset-10 and yasm.
add_compilers() {
    case "${PLATFORM}" in
        i686)
            # Software Collections never had devtoolset-10 for 32 bits.
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
        *) die "no repository with devtoolset-10 is known for '${PLATFORM}': add one to yum.sh" ;;
    esac
    fixup-mirrors
}

install() {
    yum_ install "$@"
}

# prepare_component NAME: removes the distribution's own packages of a component that we compile. Their headers would be found
# before ours.
prepare_component() {
    case "$1" in
        openssl) erase openssl-devel ;;
        curl) erase curl-devel ;;
        tcltk) erase tcl tk ;;
        libxcrypt) replace_libcrypt ;;
        *) ;; # does not conflict with the distribution's
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

# glibc's libcrypt goes as soon as ours is installed; an update of glibc brings it back, so this runs more than once.
replace_libcrypt() {
    rm -f /usr/include/crypt.h
    if [[ -e /usr/local/lib/libcrypt.so.1 ]]; then
        find /usr/lib /usr/lib64 \( -name 'libcrypt.so*' -o -name 'libcrypt-*.so' -o -name libcrypt.a \) -delete
        ldconfig
    fi
}

# glibc 2.17 never frees the space of deleted locales: build the archive again from the remaining ones.
shrink_locale_archive() {
    mv /usr/lib/locale/locale-archive /usr/lib/locale/locale-archive.tmpl
    build-locale-archive --install-langs=en_US.utf8
}

clean() {
    yum clean all
    rm -rf /var/cache/yum /var/lib/yum/history /var/lib/yum/yumdb /var/log/anaconda
}
