#!/bin/sh
# Says in lines whether the package manager of an image still works: "ok NAME", or "failed NAME: reason".
# usage: sh -c "$(cat usable.sh)"   (in a container with a network; Debian, RHEL and Alpine families)
set -u

step() {
    name="$1"
    shift
    if output="$("$@" 2>&1)"; then
        echo "ok ${name}"
    else
        status=$?
        reason="$(printf '%s\n' "${output}" | grep -iE 'error|^[EW]:|no_pubkey|gpg|404|expired|resolv|untrusted|unable' | tail -n 2 | tr '\n' ' ')"
        echo "failed ${name}: ${reason:-status ${status}}"
    fi
}

# without PATTERN FILE...: whether none of the files, as far as they exist, has such a line
without() {
    pattern="$1"
    shift
    if found="$(grep -rlE "${pattern}" "$@" 2>/dev/null)"; then
        echo "error: ${found} switches the check of signatures off"
        return 1
    fi
}

if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    step "signatures" without 'trusted=yes|^Trusted: *yes' /etc/apt/sources.list /etc/apt/sources.list.d
    step "indices" apt-get -q -o APT::Update::Error-Mode=any update
    step "packages" apt-get -q install -y --no-install-recommends libjpeg-dev libxslt1-dev libgeos-dev
elif command -v dnf >/dev/null || command -v yum >/dev/null; then
    manager="$(command -v dnf || command -v yum)"
    step "signatures" without '^gpgcheck *= *(0|no|false)' /etc/yum.repos.d /etc/yum.conf /etc/dnf/dnf.conf
    step "indices" "${manager}" -q clean all
    step "indices" "${manager}" -q makecache
    step "packages" "${manager}" -q install -y libjpeg-turbo-devel libxslt-devel libpng-devel
elif command -v apk >/dev/null; then
    step "signatures" without '^--allow-untrusted' /etc/apk
    step "indices" apk update --no-progress
    step "packages" apk add --no-progress libjpeg-turbo-dev libxslt-dev geos-dev
else
    echo "failed indices: it has none of apt-get, dnf, yum, apk"
fi
