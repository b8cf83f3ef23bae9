#!/usr/bin/env bash
# Tokens a second and peak memory of whole training steps on one sequence of growing length.
#
# FAMILIES (default: gla mamba2), LENGTHS (default: 8192 65536 1048576), THREADS (default 2); further
# arguments are overrides, for example train.memory_budget=400MB train.scratch=/tmp. Nothing else should run
# on the machine meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(swift build -c release --show-bin-path ${SCRATCH:+--scratch-path "$SCRATCH"})
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for family in ${FAMILIES:-gla mamba2}; do
  for length in ${LENGTHS:-8192 65536 1048576}; do
    # The first step touches all memory for the first time; long ones hide that.
    steps=$(( length > 100000 ? 1 : 3 ))
    "$bin/statex-train" --config "configs/bench/length-$family.yaml" run.output="$work/run" \
      data.sequence_length="$length" train.steps="$steps" \
      parallel.threads_per_rank="${THREADS:-2}" "$@" 2> "$work/log" \
      || { tail -n 1 "$work/log" >&2; exit 1; }
    rate=$(tail -n 1 "$work/run/metrics.jsonl" | grep -o '"seconds": [0-9.]*' \
      | awk -v n="$length" '{ print n / $2 }')
    echo "$family, $length tokens: $rate tokens/s; $(grep -o 'peak memory.*' "$work/log")"
    rm -rf "${work:?}/run"
  done
done
