#!/usr/bin/env bash
# Whole training steps of 2,048 tokens on the models of configs/bench, beside the same step in PyTorch.
#
# FAMILIES (default: gla mamba2), STEPS of ours (default 5, the first left out of the median), THREADS
# (default 2). The peers run when `make interop-env` has made their environment; PEER_OPTIONS goes to
# them, for example --compile or --bf16. Nothing else should run on the machine meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(swift build -c release --show-bin-path ${SCRATCH:+--scratch-path "$SCRATCH"})
python=.venv-interop/bin/python
threads=${THREADS:-2}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

median() { sort -n | awk '{ x[NR] = $1 } END { print (x[int((NR + 1) / 2)] + x[int(NR / 2) + 1]) / 2 }'; }

for family in ${FAMILIES:-gla mamba2}; do
  recipe=configs/bench/$family-1024.yaml
  echo "== $recipe, $threads threads, fp32"
  "$bin/statex-train" --config "$recipe" run.output="$work/$family" checkpoint.every=0 \
    train.steps="${STEPS:-5}" parallel.threads_per_rank="$threads" 2> "$work/log" \
    || { tail -n 1 "$work/log" >&2; exit 1; }
  rate=$(tail -n +2 "$work/$family/metrics.jsonl" | grep -o '"seconds": [0-9.]*' \
    | awk '{ print 2048 / $2 }' | median)
  echo "statex: $rate tokens/s; $(grep -o 'peak memory.*' "$work/log")"
  rm -rf "${work:?}/$family"
  if [ -x "$python" ]; then
    # shellcheck disable=SC2086
    "$python" "Tests/Peers/${family}_torch.py" --threads "$threads" --steps 3 --warmup 1 \
      ${PEER_OPTIONS:-}
  else
    echo "peer: not measured; \`make interop-env\` installs PyTorch"
  fi
done
