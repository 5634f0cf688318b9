#!/bin/bash
# Builds git for /usr/local, against our OpenSSL and curl where the image has them; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
# shellcheck source=docker/build_scripts/lib/jobserver.sh
source "${HERE}/lib/jobserver.sh"
read_pin git
: "${LIBC:?}"

options=(prefix=/usr/local NO_GETTEXT=1 NO_TCLTK=1 INSTALL_SYMLINKS=1 "INSTALL_STRIP=-s" CSPRNG_METHOD=getrandom
    NO_RUST=1) # git wants Rust from 2.55 on; no image has its compiler
if [[ "${LIBC}" == musl ]]; then options+=(NO_REGEX=NeedsStartEnd); fi
ldflags="${HARDEN_LDFLAGS}"
for own in /opt/_internal/openssl-* /opt/_internal/curl-*; do
    [[ -d "${own}" ]] || continue
    ldflags+=" -L${own}/lib -Wl,-rpath,${own}/lib -Wl,--enable-new-dtags"
    case "${own}" in
        *openssl*) options+=("OPENSSLDIR=${own}") ;;
        *) options+=("CURLDIR=${own}" "CURL_CONFIG=${own}/bin/curl-config") ;;
    esac
done
if [[ "$(getconf GNU_LIBC_VERSION 2>/dev/null)" == "glibc 2.17" ]]; then
    options+=(CSPRNG_METHOD=urandom NO_UNCOMPRESS2=1) # no getrandom, no zlib 1.2.9
    : >/usr/include/ctype.h                           # in this stage only: OpenSSL's headers include it, and git has its own
fi
# The programs of its tests and fuzzers are a quarter of the build time, and nobody runs them here.
options+=(TEST_PROGRAMS= test_bindir_programs= UNIT_TEST_PROGS= UNIT_TESTS_PROG= CLAR_TEST_PROG= FUZZ_OBJS= FUZZ_PROGRAMS=)

fetch_source "${URL}" "${SHA256}" /build/source
cd /build/source
flags=(CPPFLAGS="${HARDEN_CPPFLAGS}" CFLAGS="${HARDEN_CFLAGS}" LDFLAGS="${ldflags}")
parallel_make "${options[@]}" "${flags[@]}" all
make "${options[@]}" "${flags[@]}" install DESTDIR="${ROOTFS}"
record component git "${VERSION}" "${URL}" "${SHA256}"
finish

cp -a "${ROOTFS}/." /
[[ "$(git --version)" == "git version ${VERSION}" ]] || die "git does not run as ${VERSION}"
shows libcurl ldd "$(git --exec-path)/git-remote-https" || die "git cannot speak https"
