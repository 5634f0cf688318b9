#!/bin/bash
# Alpine: apk; bash must be there already, which the base image lacks

repositories() {
    : # the base has them enabled
}

upgrade() {
    apk upgrade --no-cache
}

install() {
    apk add --no-cache "$@"
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
