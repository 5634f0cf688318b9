#!/bin/bash
# One job server for all stages that an engine builds side by side: together they run as many jobs as there are processors

# A cache mount, which the stages share. "tokens" is a FIFO with one byte for each free processor, as GNU make's job server has it.
JOBSERVER="${JOBSERVER:-/jobserver}"

# parallel_make ARGUMENT...: runs make, which takes a token for every further job that it starts. Where nothing is mounted, SELinux
# does not let us write there, or flock is missing, make uses all processors. make 3.82 knows --jobserver-fds alone, and 4.4 reads it.
parallel_make() (
    mkfifo "${JOBSERVER}/tokens" 2>/dev/null || true # another stage may have made it
    if [[ ! -p "${JOBSERVER}/tokens" ]] || ! command -v flock >/dev/null; then exec make -j "$(nproc)" "$@"; fi
    exec 4>>"${JOBSERVER}/working" 5>>"${JOBSERVER}/waiting"
    take_token
    trap 'printf + >&3' EXIT
    MAKEFLAGS=" -j --jobserver-fds=3,3" make "$@"
)

# Takes a token for the job that a make has without asking, and a shared lock for as long as that make works. Stages wait in a
# queue, and its first opens the FIFO; when nobody works, nobody has it open, and it is empty.
take_token() {
    flock 5
    exec 3<>"${JOBSERVER}/tokens"
    if flock -n 4; then
        put_tokens "$(($(nproc) - 1))"
    else
        # It opens the lock anew: a flock that it has begun outlives it, and would change the lock that make holds.
        replace_tokens 4>>"${JOBSERVER}/working" 5>&- &
        read -r -n 1 -u 3             # without -t: bash 5.2 takes a byte that comes late and says that none came
        kill "$!" 2>/dev/null || true # it has ended if that token is one of its own
    fi
    flock -s 4
    exec 5>&-
}

# Waits until nobody works. Stages that were killed have taken their tokens with them, unless there is one within a second.
replace_tokens() {
    until flock -n 4; do sleep 1; done
    sleep 1
    put_tokens "$(nproc)"
}

put_tokens() {
    printf '%*s' "$1" '' >&3
}
