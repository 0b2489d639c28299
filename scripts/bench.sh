#!/bin/sh
# Runs the benchmarks against an installation of their own:
# bench.sh DIRECTORY-OF-BINARIES DIRECTORY-OF-DEBUG-BINARIES REQUESTS REFUSALS CERTIFICATES
#
# REQUESTS enrolments over one connection and over eight, each run beside the token alone, and beside Debian's scepserver
# with its RSA-2048 key in memory, where it is installed; then REFUSALS refusals for each cause; OCSP responses of
# CERTIFICATES, refreshed in time beside enrolments; and refusals once more with the tick off, which the comparison has to
# see (only a debug build of the signer lets it be off). Exits 1 if a request to Assay failed, if a cause can be told from
# another, if a bound of OCSP is not held, or if the comparison is blind. Leaves nothing running and nothing behind, but
# for a failure's logs.
set -eu

assay=$1/assay
assay_bench=$1/assay-bench
debug=$2
requests=$3
refusals=$4
certificates=$5

# Refusals for each of two causes without the tick: enough to see a millisecond between them on a busy machine.
without_tick=2000
# Seconds until the demo must serve: its token's keys are made first.
patience=120
dir=$(mktemp -d "${TMPDIR:-/tmp}/assay-bench.XXXXXX")
demo=""
other=""
failed=0

start() {
    "$assay" --dir "$dir/demo" demo --listen 127.0.0.1:0 --ca-key p256 --ready-file "$dir/ready.json" >>"$dir/demo.log" 2>&1 &
    demo=$!
    waited=0
    until [ -e "$dir/ready.json" ]; do
        if ! kill -0 "$demo" 2>/dev/null || [ "$waited" -ge "$patience" ]; then
            echo "the installation did not start:" >&2
            tail -n 20 "$dir/demo.log" >&2
            exit 1
        fi
        sleep 1
        waited=$((waited + 1))
    done
}

stop() {
    [ -n "$demo" ] || return 0
    kill -TERM "$demo" 2>/dev/null || true
    wait "$demo" 2>/dev/null || true
    demo=""
}

stop_other() {
    [ -n "$other" ] || return 0
    kill -TERM "$other" 2>/dev/null || true
    wait "$other" 2>/dev/null || true
    other=""
}

# It takes no port 0, so ports are tried until one is free.
start_other() {
    scepserver ca -init -depot "$dir/other" -keySize 2048 -organization Example >/dev/null
    port=$((20000 + $$ % 10000))
    for _ in 1 2 3 4 5; do
        port=$((port + 1))
        scepserver -depot "$dir/other" -port "$port" -challenge "$1" -allowrenew 0 >"$dir/other.log" 2>&1 &
        other=$!
        sleep 1
        kill -0 "$other" 2>/dev/null && return 0
    done
    other=""
    return 1
}

finish() {
    status=$?
    trap - EXIT
    stop
    stop_other
    if [ "$status" -ne 1 ]; then
        rm -rf "$dir"
    else
        # The keys of the throw-away CA go; what tells of the failure stays.
        rm -rf "$dir/other" "$dir/demo/token" "$dir/demo/secrets" "$dir/demo/transport" "$dir/demo/bench"
        echo "what there is to see is in $dir" >&2
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

bench() {
    ASSAY_DIR=$dir/demo "$assay_bench" "$@"
}

start
for connections in 1 8; do
    echo "== enrolments over $connections connection(s)"
    bench enrol --requests "$requests" --token-enrolments "$requests" --connections "$connections" || failed=1
    echo
done

if ! command -v scepserver >/dev/null; then
    echo "== scepserver is not installed: nothing to compare with (apt-get install scep)"
elif start_other bench; then
    for connections in 1 8; do
        echo "== the same to scepserver, over $connections connection(s); its replies, in single DES, are not opened"
        bench other --url "http://127.0.0.1:$port/scep" --challenge bench --requests "$requests" \
            --connections "$connections" || failed=1
        echo
    done
    stop_other
else
    echo "scepserver did not start:" >&2
    cat "$dir/other.log" >&2
    failed=1
fi

echo "== refusals, $refusals for each cause"
bench refusals --repetitions "$refusals" || failed=1
echo

# Its own installation, while the other does nothing.
stop
echo "== OCSP responses of $certificates certificates"
bench ocsp --certificates "$certificates" || failed=1
echo

# A comparison that cannot see is worth nothing: without the tick it has to tell the two causes that differ most.
assay=$debug/assay
assay_bench=$debug/assay-bench
config=$dir/demo/signer.toml
if grep -q '^\[limits\]' "$config"; then
    sed -i 's/^\[limits\].*/&\nrefusal_rate = 100000\nundecipherable_rate = 100000\nrefusal_tick = "1us"/' "$config"
else
    printf '\n[limits]\nrefusal_rate = 100000\nundecipherable_rate = 100000\nrefusal_tick = "1us"\n' >>"$config"
fi
start
echo "== refusals with the tick off: here the causes have to differ"
if bench refusals --repetitions "$without_tick" --cause csr-key --cause costly-key >"$dir/blind" 2>&1; then
    cat "$dir/blind"
    echo "the comparison does not see what the tick hides" >&2
    failed=1
else
    cat "$dir/blind"
    # Failed for what it saw, and for nothing else.
    if grep -q 'of reply: FAIL$' "$dir/blind"; then
        echo "seen, as it has to be"
    else
        failed=1
    fi
fi
echo
if [ "$failed" -eq 0 ]; then
    echo "every bound held"
else
    echo "a bound was broken: see above" >&2
fi
exit "$failed"
