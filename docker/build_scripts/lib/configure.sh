#!/bin/bash
# The steps of answer-configure.sh, and what it asks: functions, headers, types, sizes and members

# configure runs the compiler for each of some 300 functions, headers and types, and every CPython has a configure. Here the
# linker answers for all functions at once. Only "yes" counts, and only what links or compiles without any library, header or flag:
# with more of them, as configure may add, it still does. Left out are names that configure asks about in a way of its own (with a
# header, as socket; by running a program, as getaddrinfo), and sizes that flags change (off_t, time_t).
FUNCTIONS=(
    __fpu_control accept4 alarm bind_textdomain_codeset chmod chown clock clock_getres clock_gettime clock_nanosleep clock_settime
    close_range closefrom confstr copy_file_range copysign ctermid dup dup2 dup3 execv explicit_bzero faccessat fchmod fchmodat
    fchown fchownat fdopendir fexecve fork forkpty fpathconf fseeko fstatat fstatvfs ftello ftime ftruncate futimens futimes
    futimesat gai_strerror getegid getentropy geteuid getgid getgrent getgrgid getgrgid_r getgrnam_r getgroups gethostname
    getitimer getloadavg getlogin getlogin_r getnameinfo getpgid getpgrp getpid getppid getpriority getpwent getpwnam_r getpwuid
    getpwuid_r getresgid getresuid getrusage getsid getspent getspnam getuid getwd grantpt if_nameindex initgroups kill killpg
    lchown linkat lockf lstat lutimes madvise mbrtowc memrchr mkdirat mkfifo mkfifoat mknod mknodat mktime mmap mremap nanosleep
    nice openat opendir openpty pathconf pause pipe pipe2 poll posix_fadvise posix_fallocate posix_openpt posix_spawn
    posix_spawn_file_actions_addclosefrom_np posix_spawnp pread preadv preadv2 process_vm_readv pthread_condattr_setclock
    pthread_getcpuclockid pthread_kill pthread_sigmask ptsname ptsname_r pwrite pwritev pwritev2 readlink readlinkat readv
    realpath renameat sched_get_priority_max sched_rr_get_interval sched_setaffinity sched_setparam sched_setscheduler
    sem_clockwait sem_getvalue sem_open sem_timedwait sem_unlink sendfile setegid seteuid setgid sethostname setitimer setlocale
    setpgid setpgrp setpriority setregid setresgid setresuid setreuid setsid setuid setvbuf shm_open shm_unlink shutdown sigaction
    sigaltstack sigfillset siginterrupt sigpending sigrelse sigtimedwait sigwait sigwaitinfo snprintf splice statvfs strdup
    strftime strlcpy strsignal symlinkat sync sysconf system tcgetpgrp tcsetpgrp tempnam timegm times tmpfile tmpnam tmpnam_r
    truncate ttyname ttyname_r umask uname unlinkat unlockpt utimensat utimes vfork wait wait3 wait4 waitid waitpid wcscoll
    wcsftime wcsxfrm wmemcmp writev
)
HEADERS=(
    alloca.h asm/types.h dlfcn.h endian.h errno.h fcntl.h grp.h inttypes.h langinfo.h linux/auxvec.h linux/fs.h linux/limits.h
    linux/random.h linux/soundcard.h linux/wait.h memory.h net/ethernet.h netinet/in.h netpacket/packet.h poll.h pthread.h pty.h
    sched.h setjmp.h shadow.h signal.h spawn.h stdatomic.h stdint.h stdio.h stdlib.h string.h strings.h sys/auxv.h sys/epoll.h
    sys/eventfd.h sys/file.h sys/ioctl.h sys/mman.h sys/param.h sys/pidfd.h sys/poll.h sys/random.h sys/resource.h sys/select.h
    sys/sendfile.h sys/socket.h sys/soundcard.h sys/stat.h sys/statvfs.h sys/syscall.h sys/sysmacros.h sys/time.h sys/timerfd.h
    sys/times.h sys/types.h sys/uio.h sys/un.h sys/utsname.h sys/wait.h sys/xattr.h sysexits.h syslog.h termios.h unistd.h utime.h
    utmp.h wchar.h
)
TYPES=(mode_t pid_t size_t ssize_t uid_t clock_t socklen_t __uint128_t 'long double')
SIZES=(
    _Bool short int long 'long long' float double 'long double' 'void *' size_t uintptr_t wchar_t pid_t pthread_t pthread_key_t
)
MEMBERS=(
    'struct stat.st_rdev' 'struct stat.st_blksize' 'struct stat.st_blocks' 'struct passwd.pw_gecos' 'struct passwd.pw_passwd'
    'struct tm.tm_zone' 'siginfo_t.si_band'
)
INCLUDES='#define _GNU_SOURCE 1
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <wchar.h>'

# variable KIND NAME: prints the name of configure's variable, as in ac_cv_sizeof_void_p.
variable() {
    local name="${2//\*/p}"
    printf 'ac_cv_%s_%s' "$1" "${name//[^[:alnum:]_]/_}"
}

# compiles LINE...: whether C with these lines compiles.
compiles() {
    printf '%s\n' "$@" | gcc -w -fsyntax-only -x c - 2>/dev/null
}

# linked OPTION NAME...: links a program that takes the address of each function; prints what the linker says.
linked() {
    local option="$1" name
    shift
    {
        for name in "$@"; do printf 'char %s();\n' "${name}"; done
        printf 'void *all[] = {\n'
        printf '    %s,\n' "$@"
        printf '};\nint main(void) { return all[0] == all[1]; }\n'
    } >functions.c
    gcc -w -fno-builtin "${option}" -o functions functions.c 2>&1
}

answer_functions() {
    local said stubs missing found
    # glibc names what only ever fails in a header; configure takes such a function for missing.
    stubs="$(gcc -E -dM -x c - <<<'#include <limits.h>' | sed -n -E 's/^#define __stub_(\w+).*/\1/p')"
    said="$(linked '-Wl,--warn-unresolved-symbols' "${FUNCTIONS[@]}")"
    missing="$(sed -n -E "s/.*undefined (reference to|symbol:) [\`']?(\w+).*/\2/p" <<<"${said}")"
    mapfile -t found < <(printf '%s\n' "${FUNCTIONS[@]}" | grep -vxF -e "${missing}" -e "${stubs}")
    if ! linked -Wl,--no-undefined ${found[@]+"${found[@]}"} >/dev/null; then
        die "the linker does not say which functions are missing: adapt answer_functions in lib/configure.sh"
    fi
    printf 'ac_cv_func_%s=yes\n' ${found[@]+"${found[@]}"}
}

# Each line adds an array whose size is the answer; nm reads it, so nothing needs to run.
answer_sizes() {
    local name number=0 size symbol values=()
    {
        printf '%s\n' "${INCLUDES}"
        for name in "${SIZES[@]}"; do echo "char answer_$((number++))[sizeof(${name})] = {1};"; done
        for name in long size_t max_align_t; do echo "char answer_$((number++))[_Alignof(${name})] = {1};"; done
    } >sizes.c
    gcc -c sizes.c -o sizes.o
    while read -r _ size _ symbol; do
        values[${symbol#answer_}]=$((16#${size}))
    done < <(nm -S sizes.o | grep -w 'answer_[0-9]*')
    number=0
    for name in "${SIZES[@]/#/sizeof }" 'alignof long' 'alignof size_t' 'alignof max_align_t'; do
        echo "$(variable "${name%% *}" "${name#* }")=${values[number++]:?}"
    done
}

answer_headers_and_types() {
    local name
    for name in "${HEADERS[@]}"; do
        if compiles '#define _GNU_SOURCE 1' "#include <${name}>"; then echo "$(variable header "${name}")=yes"; fi
    done
    for name in "${TYPES[@]}"; do
        if compiles "${INCLUDES}" "${name} value;"; then echo "$(variable type "${name}")=yes"; fi
    done
    for name in "${MEMBERS[@]}"; do
        if compiles "${INCLUDES}" "int f(${name%.*} *it) { return sizeof it->${name##*.}; }"; then
            echo "$(variable member "${name}")=yes"
        fi
    done
}
