#!/bin/bash
# Builds SQLite's shared library with its extensions in a private prefix; SQLITE_EXPOSED=1 adds headers and shell; all images
set -Eeuo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=docker/build_scripts/lib/lib.sh
source "${HERE}/lib/lib.sh"
read_pin sqlite
: "${SQLITE_EXPOSED:?}"
PREFIX=/opt/_internal/sqlite3
# Definitions, not options of configure: a new build system once ignored options without a word
# (https://github.com/pypa/manylinux/issues/1809). The check at the end asks the library itself.
EXTENSIONS=(FTS3 FTS3_PARENTHESIS FTS4 FTS5 RTREE GEOPOLY SESSION PREUPDATE_HOOK MATH_FUNCTIONS COLUMN_METADATA
    DBPAGE_VTAB DBSTAT_VTAB BYTECODE_VTAB STMTVTAB UNLOCK_NOTIFY STAT4)

defines="-DSQLITE_SECURE_DELETE -DSQLITE_MAX_VARIABLE_NUMBER=250000"
for extension in "${EXTENSIONS[@]}"; do
    defines+=" -DSQLITE_ENABLE_${extension}"
done

# This configure and these targets exist in the autoconf archive and in the full source, which Debian has.
flags="${HARDEN_CFLAGS} ${HARDEN_CPPFLAGS} ${defines}"
rpath="-Wl,-rpath,${PREFIX}/lib -Wl,--enable-new-dtags"
fetch_source "${URL}" "${SHA256}" /build/source
cd /build/source
./configure --prefix="${PREFIX}" --disable-static --disable-tcl --disable-readline \
    CFLAGS="${flags}" LDFLAGS="${HARDEN_LDFLAGS} ${rpath}"
# Not parallel_make: it is a single file, and all CPythons wait for it. So it must not wait for a token first.
make install-dll install-headers install-pc DESTDIR="${DEVROOT}"
edit "${DEVROOT}${PREFIX}/lib/pkgconfig/sqlite3.pc" "s|^Libs:.*|& -Wl,-rpath,\${libdir} -Wl,--enable-new-dtags|"

mkdir -p "${ROOTFS}${PREFIX}/lib"
if [[ "${SQLITE_EXPOSED}" == 1 ]]; then
    make shell.c # compiled here: SQLite's makefiles would link a second copy of the library into the shell
    mkdir -p "${DEVROOT}${PREFIX}/bin"
    # shellcheck disable=SC2086
    gcc ${flags} -I. shell.c -o "${DEVROOT}${PREFIX}/bin/sqlite3" ${HARDEN_LDFLAGS} ${rpath} -L"${DEVROOT}${PREFIX}/lib" -lsqlite3 -lm
    cp -a "${DEVROOT}${PREFIX}/." "${ROOTFS}${PREFIX}/"
    mkdir -p "${ROOTFS}/usr/local/lib/pkgconfig"
    ln -s "${PREFIX}/lib/pkgconfig/sqlite3.pc" "${ROOTFS}/usr/local/lib/pkgconfig/sqlite3.pc"
else
    cp -a "${DEVROOT}${PREFIX}"/lib/libsqlite3.so* "${ROOTFS}${PREFIX}/lib/"
fi
record component sqlite "${VERSION}" "${URL}" "${SHA256}"
finish

cp -a "${DEVROOT}/." /
gcc -o /build/check "${HERE}/check-sqlite.c" -I"${PREFIX}/include" -L"${PREFIX}/lib" -Wl,-rpath,"${PREFIX}/lib" -lsqlite3
/build/check "${VERSION}" THREADSAFE=1 "${EXTENSIONS[@]}" || die "SQLite lacks the options named above"
