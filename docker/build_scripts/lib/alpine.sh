#!/bin/bash
# Alpine: apk; the base image lacks bash, so the Dockerfile installs it first

# The base image has its repositories enabled.
repositories() {
    update
}

# Fetches all indices, which stay until clean(), and fails if one is missing: `apk upgrade` and `apk add` would fetch indices
# themselves, but ignore failures.
update() {
    apk update
}

upgrade() {
    apk upgrade
}

install() {
    # clean() removed the indices in the layer below.
    if ! compgen -G '/var/cache/apk/APKINDEX.*' >/dev/null; then
        update
    fi
    apk add "$@"
}

set_locale() {
    : # musl always uses UTF-8, whatever the locale's name
}

set_default_shell() {
    chsh -s /bin/bash root
    useradd --defaults --shell /bin/bash
}

repair_toolset() {
    case "${TOOLSET-}" in
        "") ;;
        *) die "unknown toolset '${TOOLSET}': Alpine has only its own compilers; remove the toolset from docker/images.toml" ;;
    esac
}

clean() {
    rm -rf /var/cache/apk/* /usr/share/doc /usr/share/man /usr/share/info /usr/share/gtk-doc
}
