#!/bin/bash
# The steps of build-cpython.sh; they run in the source directory and use its TAG, VERSION, MINOR, ABI and PREFIX

# at_least MINOR: whether this CPython is of that minor or a later one.
at_least() {
    [[ "$(printf '%s\n' "$1" "${MINOR}" | sort -V | head -n 1)" == "$1" ]]
}

# Whether this CPython is of the shared variant: other programs load its libpython.
is_shared() {
    [[ "${TAG}" == shared-cpython-* ]]
}

# Before 3.10 there is no --disable-test-modules.
leave_out_test_modules() {
    at_least 3.10 && return 0
    printf '%s\n' '*disabled*' _testcapi _testinternalcapi _testbuffer _testimportmultiple _testmultiphase _ctypes_test \
        _xxtestfuzz xxlimited >>Modules/Setup.local
}

# CPython knows the triplet of loongarch64 only from 3.12 on.
add_loongarch_triplet() {
    if [[ "$(uname -m)" != loongarch64 ]] || at_least 3.12; then return 0; fi
    local commit=8138f8f7337d95bd098b398d368d4763861f2395
    download "https://raw.githubusercontent.com/astral-sh/python-build-standalone/${commit}/cpython-unix/patch-configure-add-loongarch-triplet.patch" \
        0db461609cf8385b2859cf16b4e0aa6ef1f51d368e14bd35c4b8b35b8ca00738 /build/loongarch.patch
    patch -p1 </build/loongarch.patch
}

# Prints the path of the image's own gcc, which clang may hide.
own_gcc() {
    PATH="${PATH#/opt/clang/bin:}" command -v gcc
}

# Up to 3.11 setup.py asks the compiler where Debian keeps its libraries; clang has no answer, so gcc is asked.
ask_gcc_for_multiarch() {
    at_least 3.12 && return 0
    edit setup.py "s|'%s -print-multiarch |': %s; $(own_gcc) -print-multiarch |"
}

# Up to 3.10 setup.py searches its own list of directories for SQLite and does not use pkg-config.
use_own_sqlite() {
    at_least 3.11 && return 0
    local sqlite=/opt/_internal/sqlite3
    edit setup.py "s|sqlite_inc_paths = \[ *'/usr/include'|sqlite_inc_paths = ['${sqlite}/include', '/usr/include'|" \
        "s|sqlite_extra_link_args = \(\)|sqlite_extra_link_args = ('-Wl,-rpath,${sqlite}/lib', '-Wl,--enable-new-dtags')|" \
        's|self\.inc_dirs \+ sqlite_inc_paths|sqlite_inc_paths + self.inc_dirs|'
}

# Hardening flags go into *_NODIST: extensions that users build must not inherit them. An option that this minor does not know is an
# error, which configure would only warn of.
configure() {
    local options=(--enable-option-checking=fatal --prefix="${PREFIX}") ldflags="${HARDEN_LDFLAGS}"
    local own=(/opt/_internal/openssl-*) name
    if is_shared; then
        options+=(--enable-shared --without-static-libpython --with-lto --with-computed-gotos --enable-ipv6)
        if [[ "${OPTIMISED}" == 1 ]]; then options+=(--enable-optimizations); fi
        # DT_RUNPATH, not DT_RPATH: a program that brings its own libraries, as PyInstaller's do, must find those first.
        ldflags+=" -Wl,-rpath,${PREFIX}/lib -Wl,--enable-new-dtags"
    else
        options+=(--disable-shared)
    fi
    options+=(--with-ensurepip=no)
    if at_least 3.10; then options+=(--disable-test-modules); fi
    if [[ "${TAG}" == *t ]]; then options+=(--disable-gil); fi
    if at_least 3.15; then
        say_what_is_missing "${PWD}/missing-stdlib.json"
        options+=(--with-missing-stdlib-config="${PWD}/missing-stdlib.json")
    fi
    if at_least 3.16; then options+=(--with-curses=ncursesw); fi
    if [[ -n "${BUILD_TRIPLE}" ]]; then options+=(--build="${BUILD_TRIPLE}"); fi
    if [[ -d "${own[0]}" ]]; then
        options+=(--with-openssl="${own[0]}")
        if at_least 3.10; then
            options+=(--with-openssl-rpath=auto)
        else
            options+=(LDFLAGS="-Wl,-rpath,${own[0]}/lib")
        fi
    fi
    if at_least 3.11 && [[ -f /usr/local/lib/libtk8.6.so ]]; then options+=(TCLTK_LIBS="-L/usr/local/lib -ltk8.6 -ltcl8.6"); fi
    for name in sqlite3 mpdecimal zstd; do
        PKG_CONFIG_PATH="/opt/_internal/${name}/lib/pkgconfig:${PKG_CONFIG_PATH:-}"
    done
    export PKG_CONFIG_PATH
    # configure finds "no" with gcc. With clang it would add a warning flag to what sysconfig publishes.
    export ac_cv_enable_unreachable_code_warning=no
    if is_clang; then find_out_by_gcc; fi
    CONFIG_SITE=/answers/config.site CC=gcc CXX=g++ CFLAGS_NODIST="${HARDEN_CPPFLAGS} ${HARDEN_CFLAGS}" LDFLAGS_NODIST="${ldflags}" \
        ./configure "${options[@]}"
}

# say_what_is_missing FILE: writes what _missing_stdlib_info of 3.15 and later says of what install_test_support leaves out. Tracebacks
# show only what it says of sys.stdlib_module_names, which has no tests.
say_what_is_missing() {
    printf '{"test": "%s"}\n' "manylinux and musllinux images leave CPython's own tests out, except test.support" >"$1"
}

# Whether `gcc` is clang here.
is_clang() {
    [[ "$(gcc --version)" == *clang* ]]
}

# pyconfig.h publishes whether a certain assignment compiles. clang, and gcc from 14 on, reject it; so the image's gcc decides.
find_out_by_gcc() {
    export ac_cv_readline_rl_startup_hook_takes_args=no
    if "$(own_gcc)" -w -fsyntax-only -x c - <<<'int f(const char *, int); int (*hook)(void); void g(void) { hook = f; }' 2>/dev/null; then
        ac_cv_readline_rl_startup_hook_takes_args=yes
    fi
}

# With clang, configure adds flags that clang knows, as for frame pointers from 3.15 on. The image's own gcc rejects some of them
# on armv7l and loongarch64. Those stay flags of this build, and sysconfig does not publish them. The same goes for
# -fno-strict-aliasing, which one file needs with clang alone.
keep_flags_of_clang() {
    local gcc flag flags published="^(BASECFLAGS|OPT|CONFIGURE_CFLAGS)="
    if ! is_clang; then return 0; fi
    edit Makefile 's/\$\(CFLAGS_ALIASING\)/-fno-strict-aliasing/' 's/^CFLAGS_ALIASING=.*/CFLAGS_ALIASING=/'
    gcc="$(own_gcc)"
    flags="$(sed -n -E "s/${published}//p" Makefile | tr -s '[:space:]' '\n' | sed -n '/^-[fm]/p' | sort -u)"
    for flag in ${flags}; do
        if "${gcc}" -Werror "${flag}" -E -x c /dev/null >/dev/null 2>&1; then continue; fi
        edit Makefile "/${published}/s/(^|[[:space:]])${flag}([[:space:]]|\$)/\1\2/g" "s/^CONFIGURE_CFLAGS_NODIST=.*/& ${flag}/"
    done
}

# `make install` would byte-compile the whole library several times, and we delete the .pyc files. This joins the lines of each
# recipe and removes the recipes that call compileall. The lines of a variable stay apart, as sysconfig publishes its first line.
skip_byte_compilation() {
    edit Makefile $':join\n/^\t.*\\\\$/{\nN\ns/\\\\\\n[[:space:]]*/ /\nb join\n}' '/^\t-.*compileall\.py/d'
    if grep -q 'DESTDIR.*compileall\.py' Makefile; then die "make install of CPython ${VERSION} byte-compiles in a new way: adapt skip_byte_compilation in cpython.sh"; fi
}

# For make: a program of CPython's own tests, which is not installed, is not to be made.
MAKE_LESS=--old-file=Programs/_testembed

# CPython's own tests make the profile for the optimisation; they need the image's locale. Fixed hashes, and random numbers
# seeded by SOURCE_DATE_EPOCH, keep two runs as alike as possible.
compile() {
    if is_shared; then export LC_ALL=en_US.UTF-8 PYTHONHASHSEED=0; fi
    parallel_make "${MAKE_LESS}"
    export LC_ALL=C
    unset PYTHONHASHSEED
}

# Half of an installed CPython is its own test suite. Other projects use only `import test` and test.support.
install_test_support() {
    local library="${PREFIX}/lib/python${ABI}"
    find "${library}" -depth -type d \( -name test -o -name tests -o -name idle_test \) -exec rm -rf {} +
    mkdir "${library}/test"
    cp -R Lib/test/__init__.py Lib/test/support "${library}/test/"
}

# pip runs from ensurepip's wheel, so there is no old pip or setuptools to remove afterwards. --no-deps: the lock is complete, and
# an old pip that resolves again would ask for releases of today. `pip check` fails if the lock is incomplete.
install_pip() {
    local bundled=("${PREFIX}/lib/python${ABI}"/ensurepip/_bundled/pip-*.whl)
    "${PREFIX}/bin/python" "${bundled[0]}/pip" install --no-cache-dir --no-compile --no-warn-script-location --no-deps \
        --require-hashes --only-binary :all: -r "/manylinux/requirements/interpreter/${MINOR}.txt"
    "${PREFIX}/bin/python" -m pip check
    ln -sf pip3 "${PREFIX}/bin/pip"
}

# Moves the static library out of the interpreter, into a part of static-libs-for-embedding-only.tar.xz. A part is a tar without
# the two blocks of zeros at its end, compressed: concatenated xz streams are a valid .xz file.
keep_static_library() {
    local library="lib/libpython${ABI}.a" part="/static/${TAG}.tar"
    mkdir -p /static
    if is_shared; then return 0; fi
    strip --strip-debug --enable-deterministic-archives "${PREFIX}/${library}"
    tar --create --file "${part}" --blocking-factor=1 --format=gnu --owner=0 --group=0 --numeric-owner \
        --mtime="@${SOURCE_DATE_EPOCH}" -C /opt/_internal "${PREFIX##*/}/${library}"
    truncate -s $(($(stat -c %s "${part}") - 1024)) "${part}"
    xz -9e "${part}"
    find "${PREFIX}" -name '*.a' -delete
}

# build-details.json (PEP 739, from 3.14 on) names the static library, which is in the archive for embedding now.
forget_static_library() {
    at_least 3.14 || return 0
    "${PREFIX}/bin/python" - "${PREFIX}/lib/python${ABI}/build-details.json" <<'PYTHON'
import json, pathlib, sys
path = pathlib.Path(sys.argv[1])
details = json.loads(path.read_text())
details.get("libpython", {}).pop("static", None)
path.write_text(json.dumps(details, indent=2) + "\n")
PYTHON
}

# Launchers are scripts: venv finds the wrong prefix through symbolic links (https://github.com/python/cpython/issues/106045).
write_launchers() {
    if is_shared; then
        write_launcher "py${ABI}" "${PREFIX}"
        return 0
    fi
    mkdir -p "${ROOTFS}/opt/python"
    ln -sfn "${PREFIX}" "${ROOTFS}/opt/python/${TAG}"
    write_launcher "cpython${ABI}" "/opt/python/${TAG}"
    ln -sf "cpython${ABI}" "${ROOTFS}/usr/local/bin/python${ABI}"
}

# write_launcher NAME PREFIX: writes a command in /usr/local/bin.
write_launcher() {
    local launcher="${ROOTFS}/usr/local/bin/$1"
    printf '#!/bin/sh\nexec %s/bin/python%s "$@"\n' "$2" "${ABI}" >"${launcher}"
    chmod 755 "${launcher}"
}

# CPython from 3.12 on says which sources of others it contains; the image's manifest takes that over.
keep_sbom() {
    if [[ ! -f Misc/sbom.spdx.json ]]; then return 0; fi
    install -m 644 Misc/sbom.spdx.json "${ROOTFS}/opt/_internal/manifest.d/${TAG}.spdx"
}

# configure does not fail when it leaves a module out or links it to another library; this does.
check() {
    "${PREFIX}/bin/python" "${HERE}/check-cpython.py" "${TAG}" "${VERSION}"
}
