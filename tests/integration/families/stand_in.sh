#!/bin/bash
# Stands in, in a throw-away root, for what would change a distribution: records every call in /record and refuses packages
# that do not exist (/stand-in/available), repositories that are not enabled or no longer answer, and tools that are not
# installed yet. Links to it are named after the programs that it plays.
set -Eeuo pipefail
STATE=/stand-in
NAME="${0##*/}"

refuse() {
    echo "${NAME} $*" >>"${STATE}/refused"
    echo "${NAME}: $*" >&2
    exit 1
}

record() {
    local variable
    case "${NAME}" in
        apt-get) variable=DEBIAN_FRONTEND ;;
        *) variable=CURL_CA_BUNDLE ;;
    esac
    echo "${!variable+${variable}=${!variable} }${NAME}${*:+ $*}" >>/record
}

installed() { [[ $'\n'"$(<"${STATE}/installed")"$'\n' == *$'\n'"$1"$'\n'* ]]; }

needs() { installed "$1" || refuse "comes with the package $1, which is not installed"; }

# Prints "section key value" for every setting of every repository file.
repositories() {
    local line section=""
    cat /etc/yum.repos.d/*.repo | while read -r line; do
        case "${line}" in
            "["*"]") section="${line:1:${#line}-2}" && echo "${section} enabled 1" ;;
            [a-z]*=*) echo "${section} ${line%%=*} ${line#*=}" ;;
        esac
    done
}

enabled() {
    if [[ -z "${ENABLED-}" ]]; then
        case "${FAMILY}" in
            rhel) ENABLED="$(enabled_repositories)" ;;
            *) ENABLED=main ;;
        esac
    fi
    [[ " ${ENABLED} " == *" $1 "* ]]
}

enabled_repositories() {
    local section key value found=" "
    while read -r section key value; do
        case "${key}=${value}" in
            enabled=1) found="${found/ ${section} / }${section} " ;;
            enabled=0) found="${found/ ${section} / }" ;;
        esac
    done <<<"$(repositories)"
    echo "${found}"
}

# Refuses to go on with a repository of CentOS 7 that no longer answers.
reachable() {
    local section key value
    [[ "${DISTRIBUTION}" == centos-7 ]] || return 0
    while read -r section key value; do
        enabled "${section}" || continue
        case "${key}=${value}" in
            mirrorlist=*) refuse "[${section}] asks ${value}, which is gone" ;;
            baseurl=*://mirror.centos.org/* | baseurl=*://mirrors.sinenomine.net/*) refuse "[${section}] is at ${value}, which is gone" ;;
            baseurl=*/centos/*)
                case "${PLATFORM}" in
                    aarch64 | ppc64le) refuse "[${section}] is at ${value}, which has nothing for ${PLATFORM}" ;;
                esac
                ;;
        esac
    done <<<"$(repositories)"
    if [[ -f /etc/yum/pluginconf.d/fastestmirror.conf && "${PLATFORM}" != s390x ]]; then
        grep -qx enabled=0 /etc/yum/pluginconf.d/fastestmirror.conf || refuse "fastestmirror asks mirrors that are gone"
    fi
}

install() {
    local package line repository
    reachable
    for package in "$@"; do
        if [[ "${package}" == https://*.rpm ]]; then
            package="${package##*/}"
            package="${package%-7-*}"
        else
            repository=""
            while read -r line; do
                if [[ " ${line#* = } " == *" ${package} "* ]]; then repository="${line%% = *}"; fi
                if [[ -n "${repository}" ]] && enabled "${repository}"; then break; fi
            done <"${STATE}/available"
            [[ -n "${repository}" ]] || refuse "there is no package ${package}"
            enabled "${repository}" || refuse "${package} is in the repository ${repository}, which is not enabled"
        fi
        installed "${package}" || echo "${package}" >>"${STATE}/installed"
        # What a package brings that the scripts work on
        if [[ -d "${STATE}/brings/${package}" ]]; then cp -a "${STATE}/brings/${package}/." /; fi
    done
}

erase() {
    local package
    for package in "$@"; do
        needs "${package}"
        sed -i "/^${package}$/d" "${STATE}/installed"
    done
}

record "$@"
words=()
options=" "
while (($#)); do
    case "$1" in
        -o | -i | -f | -s | --retry) options+="$1 $2 " && shift ;;
        -*) options+="$1 " ;;
        *) words+=("$1") ;;
    esac
    shift
done
if ((${#words[@]})); then set -- "${words[@]}"; fi

case "${NAME}" in
    yum | dnf)
        # One of its repositories says skip_if_unavailable=True.
        if [[ -e "${STATE}/missing-index" && "${options}" == *" --setopt=*.skip_if_unavailable=False "* ]]; then exit 1; fi
        case "$1" in
            install) install "${@:2}" ;;
            update | upgrade)
                reachable
                if [[ -d "${STATE}/brings/update" ]]; then cp -a "${STATE}/brings/update/." /; fi
                ;;
            reinstall) reachable && needs "$2" && rm -f "${STATE}/no-localedef" ;;
            erase) erase "${@:2}" ;;
            config-manager)
                needs dnf-plugins-core
                grep -qx "\[$2\]" /etc/yum.repos.d/*.repo || refuse "there is no repository $2"
                sed -i "/^\[$2\]/,/^\[/s/^enabled=0/enabled=1/" /etc/yum.repos.d/*.repo
                ;;
            clean) ;;
            *) refuse "does not know '$1'" ;;
        esac
        ;;
    yum-config-manager)
        needs yum-utils
        grep -qhx "\[$1\]" /etc/yum.repos.d/*.repo || refuse "there is no repository $1"
        sed -i "/^\[$1\]/,/^\[/s/^enabled=0/enabled=1/" /etc/yum.repos.d/*.repo
        ;;
    rpm)
        case "${options}" in
            *" -q "*) installed "$1" || exit 1 ;;
            *" --erase "*) erase "$@" ;;
            *) refuse "does not know '${options}'" ;;
        esac
        ;;
    apt-get)
        case "$1" in
            update)
                if [[ -e "${STATE}/missing-index" ]]; then
                    echo "W: Some index files failed to download. They have been ignored, or old ones used instead."
                    # Since 2.1 apt knows the option.
                    [[ ! -e "${STATE}/new-apt" || "${options}" != *" APT::Update::Error-Mode=any "* ]] || exit 100
                fi
                echo >/var/lib/apt/lists/example.org_main_Packages
                ;;
            upgrade | install)
                [[ -e /var/lib/apt/lists/example.org_main_Packages ]] || refuse "$1 before an update"
                [[ "${DEBIAN_FRONTEND-}" == noninteractive ]] || refuse "$1 would ask questions"
                if [[ "$1" == install ]]; then
                    [[ "${options}" == *" --no-install-recommends "* ]] || refuse "install with what is only recommended"
                    install "${@:2}"
                fi
                ;;
            clean) ;;
            *) refuse "does not know '$1'" ;;
        esac
        ;;
    dpkg-deb) touch "$1.deb" ;;
    dpkg)
        [[ -f "$1" ]] || refuse "there is no $1"
        name="$(sed -n 's/^Package: //p' "${1%.deb}/DEBIAN/control")"
        installed "${name}" || echo "${name}" >>"${STATE}/installed"
        ;;
    dpkg-query) installed "$1" || exit 1 ;;
    apk)
        [[ "$1" == update || -e /var/cache/apk/APKINDEX.main.tar.gz ]] || refuse "$1 before an update"
        case "$1" in
            update)
                [[ ! -e "${STATE}/missing-index" ]] || exit 1
                mkdir -p /var/cache/apk
                echo >/var/cache/apk/APKINDEX.main.tar.gz
                ;;
            upgrade) ;;
            add) install "${@:2}" ;;
            *) refuse "does not know '$1'" ;;
        esac
        ;;
    localedef)
        [[ ! -e "${STATE}/no-localedef" ]] || refuse "is broken"
        archive=/usr/lib/locale/locale-archive
        case "${options}" in
            *" --version "*) ;;
            *" --list-archive "*) cat "${archive}" ;;
            *" --delete-from-archive "*) for name in "$@"; do sed -i "/^${name}$/d" "${archive}"; done ;;
            *)
                case "${DISTRIBUTION}" in
                    centos-7) ;;
                    debian-* | ubuntu-*) needs locales ;;
                    *) needs glibc-locale-source ;;
                esac
                mkdir -p /usr/lib/locale
                grep -qsx en_US.utf8 "${archive}" || echo en_US.utf8 >>"${archive}"
                ;;
        esac
        ;;
    build-locale-archive)
        [[ -s /usr/lib/locale/locale-archive.tmpl ]] || refuse "has no template"
        mv /usr/lib/locale/locale-archive.tmpl /usr/lib/locale/locale-archive
        ;;
    update-locale) needs locales ;;
    useradd | usermod | chsh) [[ "${FAMILY}" != alpine ]] || needs shadow ;;
    curl) # -o FILE URL
        file="${options##* -o }"
        cp "${STATE}/web/${1##*/}" "${file%% *}"
        ;;
    fixup-mirrors) exec "${STATE}/fixup-mirrors" ;;
    ldconfig) ;;
    *) refuse "is not played here" ;;
esac
