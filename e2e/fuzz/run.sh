#!/usr/bin/env bash
# Fuzzes with libFuzzer, guided by coverage, on stable Rust: no nightly and no cargo-fuzz. Fails on a panic, an input that takes longer than
# TIMEOUT seconds or more than MEMORY MB, and leaves that input in target/fuzz/found/TARGET.
#
#   e2e/fuzz/run.sh TARGET|all SECONDS    each target for so long; what it learns stays in target/fuzz/corpus/TARGET for the next time
#   e2e/fuzz/run.sh keep TARGET|all       minimises what was learnt into e2e/fuzz/corpus/TARGET, which is committed
#
# To look at a finding: cargo run --release -p e2e-fuzz -- replay TARGET FILE. Once repaired, it goes to e2e/fuzz/seeds/TARGET under a name that
# says what it showed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

TIMEOUT=5      # seconds; instrumented code with debug assertions, which checks several builds an input, is about ten times slower
MEMORY=1024    # MB resident; also the largest single allocation
LENGTH=8192    # bytes of an input; what only size can break is tested by budgets
KEPT=300000    # bytes of a committed corpus
out=target/fuzz

targets_of() {
  if [[ $1 == all ]]; then
    for program in e2e/fuzz/targets/*.rs; do basename "$program" .rs; done
  elif [[ -f e2e/fuzz/targets/$1.rs ]]; then
    echo "$1"
  else
    echo "there is no target $1; there are: all $(targets_of all | xargs)" >&2
    return 1
  fi
}

# Counters, comparisons and a table of places in every crate but the standard library. The target is named so that what runs while building
# (proc macros, build scripts) stays as it is.
build() {
  local host flags target programs_of=()
  for target in $(targets_of all); do programs_of+=(--bin "fuzz-$target"); done
  host=$(rustc -vV | sed -n 's/^host: //p')
  flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
  flags+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions"
  env -u CARGO_ENCODED_RUSTFLAGS RUSTFLAGS="$flags" CARGO_INCREMENTAL=0 \
    cargo build --quiet --release --locked -p e2e-fuzz "${programs_of[@]}" --features libfuzzer --target "$host" --target-dir $out
  programs=$out/$host/release
}

fuzz() {
  local target=$1 seconds=$2 log=$out/$1.log status=0
  rm -rf "$out/seeds/$target"
  mkdir -p "$out/corpus/$target" "$out/found/$target" "e2e/fuzz/corpus/$target"
  cargo run --quiet --locked -p e2e-fuzz -- seeds "$target" "$out/seeds/$target" || return 1
  "$programs/fuzz-$target" -max_total_time="$seconds" -timeout=$TIMEOUT -rss_limit_mb=$MEMORY -max_len=$LENGTH -print_final_stats=1 \
    -dict="e2e/fuzz/dictionaries/$target.txt" -artifact_prefix="$out/found/$target/" -report_slow_units=$TIMEOUT \
    "$out/corpus/$target" "e2e/fuzz/corpus/$target" "$out/seeds/$target" >"$log" 2>&1 || status=$?
  if [[ $status != 0 ]]; then
    tail -n 60 "$log" >&2
    echo "$target: a finding, in $out/found/$target" >&2
    return 1
  fi
  report "$target" "$log"
}

report() {
  local coverage
  stat_of() { sed -n "s/^stat::$1: *//p" "$2"; }
  coverage=$(grep -oE 'cov: [0-9]+ ft: [0-9]+ corp: [0-9]+' "$2" | tail -n 1)
  echo "$1: $(stat_of number_of_executed_units "$2") executions, $(stat_of average_exec_per_sec "$2") a second," \
    "$coverage, slowest $(stat_of slowest_unit_time_sec "$2") s, $(stat_of peak_rss_mb "$2") MB"
}

keep() {
  local target=$1 kept bytes size file
  kept=$out/kept/$target
  rm -rf "$kept"
  mkdir -p "$kept" "$out/corpus/$target"
  "$programs/fuzz-$target" -set_cover_merge=1 -use_counters=0 -timeout=$TIMEOUT -rss_limit_mb=$MEMORY -max_len=$LENGTH \
    "$kept" "e2e/fuzz/corpus/$target" "$out/corpus/$target" >"$out/$target.keep.log" 2>&1 ||
    { tail -n 30 "$out/$target.keep.log" >&2; return 1; }
  rm -rf "e2e/fuzz/corpus/$target"
  mkdir -p "e2e/fuzz/corpus/$target"
  # The smallest first: they are the easiest to read, and the most.
  bytes=0
  while read -r size file; do
    ((bytes + size <= KEPT)) || break
    bytes=$((bytes + size))
    cp "$kept/$file" "e2e/fuzz/corpus/$target/"
  done < <(find "$kept" -type f -printf '%s %f\n' | sort -n)
  echo "$target: $(find "e2e/fuzz/corpus/$target" -type f | wc -l) inputs, $bytes bytes kept"
}

[[ $# == 2 ]] || { sed -n '5,6s/^#   //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
if [[ $1 == keep ]]; then
  targets=$(targets_of "$2")
  build
  for target in $targets; do keep "$target"; done
else
  targets=$(targets_of "$1")
  build
  failed=()
  for target in $targets; do fuzz "$target" "$2" || failed+=("$target"); done
  [[ ${#failed[@]} == 0 ]] || { echo "fuzzing found something in: ${failed[*]}" >&2; exit 1; }
fi
