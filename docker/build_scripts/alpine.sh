#!/bin/bash
# Alpine: apk; bash must be there already, which the base image lacks

# The base has them enabled.
repositories() {
    update
}

# Keeps the indices until clean(), and fails unless every one could be fetched: `apk upgrade` and `apk add` would fetch them
# themselves, but go on without those that they cannot get.
update() {
    apk update
}

upgrade() {
    apk upgrade
}

install() {
    # clean() dropped the indices of the layers below
    if ! compgen -G '/var/cache/apk/APKINDEX.*' >/dev/null; then
        update
    fi
    apk add "$@"
}

set_locale() {
    : # musl has UTF-8 whatever the name of the locale
}

set_default_shell() {
    chsh -s /bin/bash root
    useradd --defaults --shell /bin/bash
}

repair_toolset() {
    case "${TOOLSET-}" in
        "") ;;
        *) die "toolset '${TOOLSET}': Alpine has only the distribution's own compilers" ;;
    esac
}

clean() {
    rm -rf /var/cache/apk/* /usr/share/doc /usr/share/man /usr/share/info /usr/share/gtk-doc
}
