#!/usr/bin/env bash
# A host that is cut off from the others in the middle of a run, with real network namespaces: the run must end
# within a minute and name the host, and go on on the hosts that are left.
#
#   Tests/Hosts/run.sh [DIRECTORY OF PROGRAMS]        default .build/release
#
# Three hosts of one machine are joined by a bridge; two ranks run on each, over TCP. Needs root, `ip` and
# `unshare`; says so and does nothing elsewhere. Takes a minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$(realpath "${1:-.build/release}")

skip() {
  echo "hosts test skipped: $*"
  exit 0
}
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
for tool in ip unshare mpirun; do
  command -v $tool >/dev/null || skip "no $tool"
done

id=sx$$
net=10.219.77
hosts=(1 2 3)
work=$(mktemp -d /tmp/statex-hosts.XXXXXX)
ip netns add "$id-0" 2>/dev/null || { rm -rf "$work"; skip "this machine lets nobody make network namespaces"; }

# finish: removes the namespaces and what is left in them.
finish() {
  local status=$?
  for host in 0 "${hosts[@]}"; do
    ip netns pids "$id-$host" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
    ip netns del "$id-$host" 2>/dev/null || true
  done
  if [ $status -eq 0 ]; then
    rm -rf "$work"
  else
    tail -n 30 "$work"/*.log >&2 || true
    echo "FAILED; everything is in $work" >&2
  fi
}
trap finish EXIT

fail() {
  echo "hosts test: $*" >&2
  exit 1
}

# The bridge is in a namespace of its own, so that nothing outside is touched.
ip -n "$id-0" link add br0 type bridge
ip -n "$id-0" link set br0 up
for host in "${hosts[@]}"; do
  ip netns add "$id-$host"
  ip -n "$id-0" link add "to$host" type veth peer name eth0 netns "$id-$host"
  ip -n "$id-0" link set "to$host" master br0 up
  ip -n "$id-$host" addr add "$net.$host/24" dev eth0
  ip -n "$id-$host" link set lo up
  ip -n "$id-$host" link set eth0 up
done

# shellcheck disable=SC2016  # The inner shell expands these.
# inside HOST COMMAND...: runs a command on a host, which has a name of its own.
inside() {
  local host=$1
  shift
  ip netns exec "$id-$host" unshare -u bash -c 'hostname "$0"; exec "$@"' "host-$host" "$@"
}

# What mpirun calls instead of ssh.
cat >"$work/agent" <<AGENT
#!/bin/bash
address=\$1
shift
exec ip netns exec "$id-\${address##*.}" unshare -u bash -c 'hostname "\$0"; exec bash -c "\$1"' "host-\${address##*.}" "\$*"
AGENT
chmod +x "$work/agent"

cat >"$work/recipe.yaml" <<RECIPE
run: {name: hosts, output: $work/run, seed: 3, watchdog: 10s}
model:
  config: {model_type: gla, hidden_size: 64, num_hidden_layers: 2, num_heads: 4, intermediate_size: 128,
    vocab_size: 64, tie_word_embeddings: true}
data: {sequence_length: 256, sources: [{task: mqar, pairs: 4, vocab: 64}]}
train: {steps: 100000, sequences_per_step: 12, segment_length: 256, precision: fp32,
  optimizer: {lr: 1.0e-3}, schedule: {kind: constant, warmup_steps: 0}}
parallel: {threads_per_rank: 1}
checkpoint: {every: 5, keep: 2}
evaluation: {every: 0}
RECIPE

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OPENBLAS_NUM_THREADS=1

# train HOSTS [OVERRIDE...]: runs the recipe with two ranks on each of the hosts, begun on the first one.
train() {
  local list=
  local count=0
  for host in $1; do
    list+=,$net.$host:2
    count=$((count + 2))
  done
  shift
  inside 1 mpirun --mca plm_rsh_agent "$work/agent" --mca oob_tcp_if_include "$net.0/24" \
    --mca btl_tcp_if_include "$net.0/24" --mca btl self,tcp --mca orte_keep_fqdn_hostnames 1 \
    --host "${list#,}" --oversubscribe --bind-to none -n $count \
    "$bin/statex-train" --config "$work/recipe.yaml" "$@"
}

rows() { grep -c step "$work/run/metrics.jsonl" 2>/dev/null || true; }

echo "three hosts, two ranks each"
train "1 2 3" >"$work/first.log" 2>&1 &
job=$!
for _ in $(seq 600); do
  [ "$(rows)" -ge 12 ] 2>/dev/null && break
  kill -0 $job 2>/dev/null || fail "the run ended too early"
  sleep 0.1
done
[ "$(rows)" -ge 12 ] || fail "no progress over the bridge"

echo "cutting host-3 off"
ip -n "$id-0" link set to3 down
start=$SECONDS
for _ in $(seq 600); do
  kill -0 $job 2>/dev/null || break
  sleep 0.1
done
kill -0 $job 2>/dev/null && fail "the run has not ended after a minute"
rc=0
wait $job || rc=$?
took=$((SECONDS - start))
grep -E '^error: rank [45] on host-3 .* has been silent for 10 s.*saved last: step' "$work/first.log" \
  || fail "no line names host-3"
[ $rc -ne 0 ] || fail "exit code 0"
echo "ended after $took s with code $rc"
last=$(rows)

for _ in $(seq 100); do
  [ -z "$(ip netns pids "$id-3" | xargs -r ps -o comm= -p 2>/dev/null | grep statex-train || true)" ] && break
  sleep 0.2
done
[ -z "$(ip netns pids "$id-3" | xargs -r ps -o comm= -p 2>/dev/null | grep statex-train || true)" ] \
  || fail "ranks of host-3 live on"
echo "the ranks of host-3 have ended, too"

train "1 2" "train.steps=$((last + 5))" >"$work/second.log" 2>&1 || fail "it does not go on on two hosts"
grep -q 'resuming after step' "$work/second.log" || fail "it has not resumed"
[ "$(rows)" -eq $((last + 5)) ] || fail "rows are missing"
echo "went on on two hosts to step $((last + 5)): pass"
