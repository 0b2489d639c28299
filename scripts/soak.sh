#!/bin/sh
# Runs the tests in which times matter again and again: soak.sh TIMES
#
# Half of the runs have the machine to themselves; beside the other half, one process for each core computes without end.
# Stops at the first run that fails. Needs cargo-nextest and the binaries of `cargo build --workspace --bins`.
set -eu
cd "$(dirname "$0")/.."

times=$1
half=$((times / 2))
cargo=${CARGO:-cargo}
hungry=""

finish() {
    status=$?
    trap - EXIT
    for pid in $hungry; do
        # Not TERM: a process that was just started may not have put its own handling of it in place of ours.
        kill -KILL "$pid" 2>/dev/null || true
    done
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

repeat() {
    count=0
    while [ "$count" -lt "$1" ]; do
        count=$((count + 1))
        echo "== soak: $2, run $count of $1 =="
        "$cargo" nextest run --locked --workspace --profile soak --status-level fail --final-status-level fail
    done
}

repeat "$((times - half))" "a quiet machine"
for _ in $(seq "$(nproc)"); do
    while :; do :; done &
    hungry="$hungry $!"
done
repeat "$half" "beside processes that take all of the processor"
echo "$times runs passed, $half of them beside processes that take all of the processor"
