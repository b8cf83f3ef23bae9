#!/usr/bin/env bash
# The demonstration: a small base model, post-trained twice on the same data, with and without state
# expansion, then measured on recall. Everything it makes lies in runs/demo.
#
# FAMILY=gla (default) or mamba2. SEED shifts the seeds of all three runs.
set -euo pipefail
cd "$(dirname "$0")/.."

family=${FAMILY:-gla}
seed=${SEED:-0}
case $family in
  gla) prefix=configs/demo/ ;;
  mamba2) prefix=configs/demo/mamba2- ;;
  *) echo "error: FAMILY is gla or mamba2, not $family" >&2; exit 64 ;;
esac
bin=$(swift build -c release --show-bin-path ${SCRATCH:+--scratch-path "$SCRATCH"})
runs=runs/demo/$family-$seed
ranks=$(( $(nproc) >= 2 ? 2 : 1 ))

rm -rf "$runs"
mkdir -p "$runs"
start=$SECONDS

train() { # name, recipe overrides...
  local name=$1
  shift
  echo "== $name: mpirun -n $ranks statex-train --config $prefix$name.yaml"
  mpirun --bind-to none -n "$ranks" "$bin/statex-train" --config "$prefix$name.yaml" --resume never \
    run.output="$runs/$name" parallel.threads_per_rank=1 "$@"
}

train base run.seed="$seed"
train lpt run.seed="$((seed + 1))" model.init="$runs/base/export"
train statex run.seed="$((seed + 1))" model.init="$runs/base/export"

# Rows of 4n tokens: n pairs, then every key asked once. Text: held-out rows of the same Markov chain.
"$bin/statex" data make --task markov:symbols=16,first_id=161,table_seed=7 --samples 200 --sequence-length 128 \
  --stream evaluation --seed "$seed" --output "$runs/text"
mqar=mqar:layout=dense,vocab=161,keys=128,values=32
for name in base lpt statex; do
  tasks=()
  for pairs in 8 16 32 64 128; do
    tasks+=(--task "$mqar,pairs=[$pairs],sequence_length=$((4 * pairs))")
  done
  "$bin/statex" evaluate --model "$runs/$name/export" --samples 200 --seed "$seed" "${tasks[@]}" \
    --perplexity "$runs/text" --sequence-length 128 --json "$runs/$name.json" \
    --sample-log "$runs/$name.jsonl" > /dev/null
done

echo
echo "Recall after training on the same samples; chance is 3.1 %."
"$bin/statex" compare base="$runs/base.json" LPT="$runs/lpt.json" StateX="$runs/statex.json" \
  | tee "$runs/table.txt"
columns=()
for arm in base:base lpt:LPT statex:StateX; do
  columns+=("${arm#*:}=$runs/${arm%:*}" "${arm#*:}=$runs/${arm%:*}.json")
done
"$bin/statex" report "${columns[@]}" LPT="$runs/lpt.jsonl" StateX="$runs/statex.jsonl" \
  --title "Recall before and after state expansion: $family" --output "$runs/report.html"
echo
echo "LPT: continued training as it is. StateX: the same after expanding the state of one layer."
echo "$((SECONDS - start)) seconds; runs, metrics, models and report.html are in $runs"
