#!/bin/sh
# Finishes the root of a Debian base image, as a hook of mmdebstrap: its sources become the distribution's own default, as
# the documentation of its apt has it, without what is not free; what this machine and this hour left behind goes
set -eu
root="$1"
examples="$root/usr/share/doc/apt/examples"
rm -f "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/* "$root/etc/apt/apt.conf.d/99mmdebstrap" \
    "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
if [ -f "$examples/debian.sources" ]; then
    sed -e '/^#/d' -e 's/^Components:.*/Components: main/' "$examples/debian.sources" \
        >"$root/etc/apt/sources.list.d/debian.sources"
else
    sed -n -e 's/^\(deb [^ ]* [^ ]* main\)\( .*\)\{0,1\}$/\1/p' "$examples/sources.list" >"$root/etc/apt/sources.list"
fi
grep -q . "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/* 2>/dev/null || {
    echo "error: the apt of this suite documents no default sources" >&2
    exit 1
}
rm -rf "$root"/var/log/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/cache/ldconfig/aux-cache
mkdir -p "$root/var/log/apt" "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial"
rm -f "$root/etc/resolv.conf" "$root/etc/hostname"
