#!/bin/bash
# Debian family: Debian and Ubuntu

export DEBIAN_FRONTEND=noninteractive

# apt-get with the site's mirror and certificates. They are build secrets and stay out of the image.
apt() {
    local options=(-y -q -o Acquire::Retries=3 -o Acquire::Languages=none
        -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io)
    local site=/dev/shm/manylinux-apt
    if [[ -s /run/secrets/apt ]]; then
        options+=(-o Dir::Etc::sourcelist=/run/secrets/apt -o Dir::Etc::sourceparts=-)
        unpack_site_files "${site}"
    fi
    if [[ -s "${site}/apt.conf" ]]; then
        local -x APT_CONFIG="${site}/apt.conf"
    fi
    # Only root can read a secret, so apt must not switch to its unprivileged user.
    if [[ -s /run/secrets/ca ]] && ! grep -qis '^Acquire::https::CAInfo' "${site}/apt.conf"; then
        options+=(-o Acquire::https::CAInfo=/run/secrets/ca -o APT::Sandbox::User=root)
    elif [[ -d "${site}" ]]; then
        options+=(-o APT::Sandbox::User=root)
    fi
    apt-get "${options[@]}" "$@"
}

# Comments of the sources carry the files by which apt reaches the site's mirror: proxies, certificates, keys. They are unpacked
# into memory and so enter no layer.
unpack_site_files() {
    if [[ ! -d "$1" ]] && grep -q '^#site ' /run/secrets/apt; then
        (umask 077 && mkdir "$1")
        sed -n 's/^#site //p' /run/secrets/apt | base64 -d | tar -x -C "$1"
    fi
}

# The base image has its repositories already; this decides what its package manager leaves out from now on.
repositories() {
    leave_docs_out
    install_substitutes
    update
}

# An index that apt cannot fetch ends the build. apt itself would ignore the failure, even for security updates.
update() {
    local said status=0
    said="$(apt -o APT::Update::Error-Mode=any update 2>&1)" || status=$?
    echo "${said}"
    # apt 2.0 does not know that option and exits with 0.
    if ((status)) || [[ "${said}" == *"W: Some index files failed to download"* ]]; then
        die "apt could not fetch an index, see above: check the network, the proxy and the mirror"
    fi
}

# Packages that users install later come without manuals, too; licences (copyright) stay.
leave_docs_out() {
    mkdir -p /etc/dpkg/dpkg.cfg.d
    cp "${PACKAGES}/debian/dpkg-excludes" /etc/dpkg/dpkg.cfg.d/manylinux
}

# Packages come with what no build of wheels uses: libGL.so.1 with a driver and LLVM, 200 MB; gcc with the libraries of its
# sanitizers, 20 MB. Empty packages provide these names instead. `apt-get install libglx-mesa0 libegl-mesa0` or
# `apt-get install libasan8 libubsan1` brings the real ones.
install_substitutes() {
    local control name directory
    for control in "${PACKAGES}"/debian/no-*.control; do
        name="${control##*/}"
        name="${name%.control}"
        if dpkg-query --show "manylinux-${name}"; then continue; fi
        directory="$(mktemp -d)"
        mkdir "${directory}/DEBIAN"
        cp "${control}" "${directory}/DEBIAN/control"
        chmod 755 "${directory}"
        dpkg-deb --build --root-owner-group "${directory}" "${directory}.deb"
        dpkg --install "${directory}.deb"
        rm -rf "${directory}" "${directory}.deb"
    done
}

upgrade() {
    apt upgrade --with-new-pkgs
}

install() {
    # clean() removed the indices in the layer below.
    if [[ -z "$(find /var/lib/apt/lists -name '*_Packages*' -print -quit)" ]]; then
        update
    fi
    apt install --no-install-recommends "$@"
}

set_locale() {
    # An upgrade of the package locales keeps what this file lists.
    echo 'en_US.UTF-8 UTF-8' >/etc/locale.gen
    localedef -i en_US -f UTF-8 en_US.UTF-8
    update-locale LANG=en_US.UTF-8
}

set_default_shell() {
    usermod --shell /bin/bash root
    useradd --defaults --shell /bin/bash
    rm -f /etc/default/useradd- # its backup
}

repair_toolset() {
    case "${TOOLSET-}" in
        "") ;;
        *) die "unknown toolset '${TOOLSET}': the Debian family has only the distribution's compilers; remove the toolset from docker/images.toml" ;;
    esac
}

clean() {
    apt-get clean
    find /var/lib/apt/lists -type f -delete
    rm -rf /var/cache/apt/*.bin /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache
    rm -rf /var/log/apt/* /var/log/alternatives.log /var/log/bootstrap.log /var/log/dpkg.log
    # A base image may have been made without dpkg-excludes. Directories stay: maintainer scripts link into man1.
    local directory
    for directory in doc man info gtk-doc lintian; do
        [[ -d "/usr/share/${directory}" ]] || continue
        find "/usr/share/${directory}" ! -type d ! -path '/usr/share/doc/*/copyright' -delete
    done
    find /usr/share/doc -mindepth 1 -depth -type d -empty -delete
    find /usr -depth -name __pycache__ -exec rm -rf {} +
    find /etc/alternatives -xtype l -delete
}
