#!/bin/sh
# Fuzzes one target: fuzz.sh FUZZ-CRATE TARGET SECONDS SEEDS...
#
# libFuzzer adds what it finds to FUZZ-CRATE/corpus/TARGET and reads the seeds beside it. Exits 1 on a finding.
set -eu

crate=$1
target=$2
seconds=$3
shift 3

corpus="$crate/corpus/$target"
mkdir -p "$corpus"
# libFuzzer's instrumentation is an unstable flag; the toolchain is the project's own.
export RUSTC_BOOTSTRAP=1
# Real messages have 2 to 10 KiB; what is over 128 KiB is refused by its length alone.
exec nice cargo fuzz run --fuzz-dir "$crate" --target-dir target/fuzz "$target" "$corpus" "$@" -- \
    -max_total_time="$seconds" -max_len=16384 -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0
