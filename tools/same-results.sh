#!/usr/bin/env bash
# Whether two versions of the program train to the same bits: losses, exported weights, checkpoints.
#
#   tools/same-results.sh OLD_COMMIT NEW_COMMIT
#   tools/same-results.sh --old-bin DIR --new-bin DIR      programs that are built already; also mixed
#   tools/same-results.sh --old-bin DIR NEW_COMMIT
#
# Runs small recipes with both and prints a table; exit code 1 on any difference. What is compared:
#
#   metrics     loss, grad_norm, lr and tokens of every row of metrics.jsonl
#   export      names, types, shapes and bytes of the exported tensors (not config.json)
#   checkpoint  each store's tensors of the last checkpoint, whatever files and frames they lie in
#
# --except LIST leaves out what a change is meant to change: a comma-separated list of recipes
# (--except gla-documents), of keys of the metrics (--except grad_norm) or of whole columns (--except export).
# --keep DIR keeps the runs' directories there. Results differ between models of processor: run both here.
set -euo pipefail
cd "$(dirname "$0")/.."

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OPENBLAS_NUM_THREADS=1

fail() { echo "error: $1" >&2; exit 64; }

old_bin='' new_bin='' except='' keep='' commits=()
while [ $# -gt 0 ]; do
  case $1 in
    --old-bin | --new-bin | --except | --keep)
      [ $# -ge 2 ] || fail "$1 needs a value"
      name=${1#--}
      printf -v "${name//-/_}" '%s' "$2"
      shift 2 ;;
    -h | --help) sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 0 ;;
    -*) fail "unknown option $1; --help lists them" ;;
    *) commits+=("$1"); shift ;;
  esac
done

work=$(mktemp -d)
trap 'rm -rf "$work"; git worktree prune' EXIT

# Builds a commit in a worktree of its own and sets the variable of that name to where its programs are.
build() {
  local variable=$1 commit=$2 source=$work/source-$1
  echo "building $commit" >&2
  git worktree add --quiet --detach "$source" "$commit"
  for product in statex statex-train; do
    (cd "$source" && swift build -c release --product "$product" >"$work/$1.log" 2>&1) \
      || { tail -n 20 "$work/$1.log" >&2; fail "$commit does not build"; }
  done
  printf -v "$variable" '%s' "$source/.build/release"
}

wanted=0
for variable in old_bin new_bin; do
  [ -n "${!variable}" ] && continue
  [ "$wanted" -lt ${#commits[@]} ] || fail "give two commits, or --old-bin and --new-bin for built ones"
  build "$variable" "${commits[$wanted]}"
  wanted=$((wanted + 1))
done
[ "$wanted" -eq ${#commits[@]} ] || fail "more commits than programs to build"
for bin in "$old_bin" "$new_bin"; do
  [ -x "$bin/statex-train" ] || fail "$bin holds no statex-train"
done

gla='model_type: gla, hidden_size: 48, num_hidden_layers: 3, num_heads: 4, intermediate_size: 80,
  vocab_size: 257'
mamba2='model_type: mamba2, hidden_size: 48, num_hidden_layers: 3, num_heads: 6, head_dim: 16, expand: 2,
  state_size: 20, vocab_size: 257'

# recipe NAME RANKS MODEL [OVERRIDE ...]: a line of the table.
recipes=()
recipe() {
  local IFS=$'\x1f'
  recipes+=("$*")
}
recipe gla 1 "$gla, tie_word_embeddings: true"
recipe gla-ranks 3 "$gla" parallel.threads_per_rank=2
recipe gla-options 1 "$gla, num_kv_heads: 2, use_short_conv: true, feature_map: relu, clamp_min: -2.0"
recipe gla-no-gate 1 "$gla, use_output_gate: false, elementwise_affine: false, fuse_norm: false"
recipe gla-expanded 3 "$gla" 'expansion={layers: {every: 2}, heads: 1}'
recipe gla-preserve 1 "$gla, use_short_conv: true" 'expansion={layers: [1], heads: 1, init: preserve}'
recipe gla-inherit 1 "$gla, num_kv_heads: 2" 'expansion={layers: [0], heads: 2, init: inherit}'
recipe gla-trainable 1 "$gla" 'expansion={layers: [1], heads: 1}' train.trainable=expanded
recipe gla-sequence 2 "$gla, use_short_conv: true" parallel.sequence_ranks=2 train.segment_length=72
recipe gla-documents 1 "$gla, use_short_conv: true" data.reset_state_at_documents=true
recipe gla-passing 3 "$gla" train.state_passing=0.7
recipe gla-bf16 1 "$gla" train.precision=bf16 train.optimizer.moments=bf16
recipe gla-zero1 3 "$gla" parallel.optimizer_sharding=zero1
recipe mamba2 1 "$mamba2, n_groups: 1, tie_word_embeddings: true"
recipe mamba2-options 3 "$mamba2, n_groups: 2, use_bias: true, conv_kernel: 3, time_step_limit: [0.01, 0.2]"
recipe mamba2-expanded 1 "$mamba2, n_groups: 1" 'expansion={layers: {every: 2}, state_factor: 3}'
recipe mamba2-paper 1 "$mamba2, n_groups: 1" 'expansion={layers: [0], state_factor: 2, init: paper}'
recipe mamba2-inherit 1 "$mamba2, n_groups: 2" 'expansion={layers: [2], state_factor: 2, init: inherit}'
recipe mamba2-preserve 3 "$mamba2, n_groups: 1" 'expansion={layers: [1], state_factor: 2, init: preserve}'
recipe mamba2-sequence 2 "$mamba2, n_groups: 1" parallel.sequence_ranks=2 train.segment_length=72
recipe mamba2-documents 1 "$mamba2, n_groups: 1" data.reset_state_at_documents=true train.truncated_backpropagation=true
recipe mamba2-bf16 1 "$mamba2, n_groups: 1" train.precision=bf16

awk 'BEGIN { srand(5); for (d = 0; d < 60; d++) { printf "{\"text\": \"";
  for (w = 0; w < 12 + 40 * rand(); w++) printf "%s ", substr("mist dune fern lake opal reed", 1 + int(24 * rand()), 5);
  print "\"}" } }' >"$work/text.jsonl"
"$new_bin/statex" data tokenize "$work/text.jsonl" --tokenizer byte --output "$work/text" >/dev/null

# The sequence is a number of segments and a rest, and no segment is a number of chunks.
base() {
  cat <<RECIPE
run: {name: same, output: unset, seed: 3}
model:
  config: {$1}
data:
  sequence_length: 200
  sources:
    - {tokens: $work/text, weight: 0.6}
    - {task: mqar, pairs: 4, vocab: 64, weight: 0.4}
train:
  steps: 4
  sequences_per_step: 6
  micro_batch: 2
  segment_length: 144
  precision: fp32
  optimizer: {lr: 1.0e-2, weight_decay: 0.1}
  schedule: {kind: cosine, warmup_steps: 2}
parallel: {threads_per_rank: 1}
checkpoint: {every: 4, keep: 1}
evaluation: {every: 0}
RECIPE
}

# run BIN DIRECTORY NAME RANKS MODEL [OVERRIDE ...]
run() {
  local bin=$1 directory=$2 name=$3 ranks=$4 model=$5
  shift 5
  local launcher=()
  [ "$ranks" -eq 1 ] || launcher=(mpirun --oversubscribe -n "$ranks")
  mkdir -p "$directory"
  base "$model" >"$directory/recipe.yaml"
  "${launcher[@]}" "$bin/statex-train" --config "$directory/recipe.yaml" run.output="$directory/run" "$@" \
    >"$directory/log" 2>&1 \
    || { tail -n 3 "$directory/log" >&2; echo "error: $name fails with $bin" >&2; exit 1; }
}

runs=${keep:-$work/runs}
status=0
for line in "${recipes[@]}"; do
  IFS=$'\x1f' read -r -d '' -a fields <<<"$line" || true
  # The here-string ends with a line feed.
  fields[-1]=${fields[-1]%$'\n'}
  name=${fields[0]}
  [[ ,$except, == *,$name,* ]] && continue
  run "$old_bin" "$runs/$name/old" "${fields[@]}"
  run "$new_bin" "$runs/$name/new" "${fields[@]}"
  tools/same_results.py --except "$except" "$name" "$runs/$name/old/run" "$runs/$name/new/run" || status=1
done
[ "$status" -eq 0 ] && echo "all the same" || echo "not the same" >&2
exit "$status"
