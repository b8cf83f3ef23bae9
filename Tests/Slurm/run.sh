#!/usr/bin/env bash
# Runs the batch scripts of cluster/slurm with the trainer, on a private one-machine Slurm.
#
#   Tests/Slurm/run.sh           interrupted, not started, failed, cancelled: two to four minutes
#   LONG=1 Tests/Slurm/run.sh    also long.sh: time limit, preemption, node failure, arrays, a chain, five
#                                requeues: a quarter of an hour more
#
# Environment: STATEX_TRAIN, the program (default: .build/release/statex-train).
# Needs root and `make setup-slurm`.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
recipe=$root/Tests/Slurm/recipe.yaml
steps=40
trainer=$(realpath "${STATEX_TRAIN:-.build/release/statex-train}")
[ -x "$trainer" ] || { echo "slurm test: $trainer is missing; run 'make build'" >&2 && exit 1; }

Tests/Slurm/verdicts.sh

work=$(mktemp -d /tmp/statex-slurm.XXXXXX)
# Jobs run what this link points to.
export STATEX_TRAIN=$work/statex-train
ln -s "$trainer" "$STATEX_TRAIN"

finish() {
  local status=$?
  "$root/cluster/slurm/one-machine-slurm.sh" stop "$work/slurm"
  if [ $status -eq 0 ]; then
    rm -rf "$work"
  else
    tail -n 20 "$work"/*.log >&2 || true
    echo "FAILED; everything is in $work" >&2
  fi
}
trap finish EXIT

fail() {
  echo "slurm test: $*" >&2
  exit 1
}

# field JOB NAME: a field of `scontrol show job`.
field() {
  scontrol show job "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"
}

# until_field JOB NAME PATTERN [SECONDS]: waits at most 90 s.
until_field() {
  local deadline=$((SECONDS + ${4:-90}))
  until [[ $(field "$1" "$2") =~ ^($3)$ ]]; do
    [ $SECONDS -lt $deadline ] || fail "job $1: $2 is $(field "$1" "$2"), expected $3"
    sleep 0.25
  done
}

last_step() {
  sed -nE '$s/^\{"step": ([0-9]+),.*/\1/p' "$work/$1/metrics.jsonl" 2> /dev/null || true
}

# until_step NAME STEP [JOB]: waits until a run has logged that step.
until_step() {
  local deadline=$((SECONDS + 200)) step
  until step=$(last_step "$1") && [ "${step:-0}" -ge "$2" ]; do
    [ $SECONDS -lt $deadline ] || fail "$1 has logged step ${step:-0}, expected $2"
    [ -z "${3:-}" ] || start_if_put_off "$3"
    sleep 0.1
  done
}

# submit SCRIPT NAME [ARGUMENT...]: starts a run of two ranks of the recipe, prints its job id. SBATCH
# holds more options.
submit() {
  local script=$1 name=$2
  shift 2
  # shellcheck disable=SC2086
  (cd "$work" && sbatch --parsable --time=10 --ntasks-per-node=2 --cpus-per-task=1 \
    --job-name="$name" --output="$work/$name.log" ${SBATCH:-} "$root/cluster/slurm/$script" \
    "${RECIPE:-$recipe}" "run.output=$work/$name" "$@")
}

# start_if_put_off JOB: lets a requeued job start at once, instead of after two minutes.
#
# A launch too soon after the requeue is refused by Slurm ("job credential revoked"); the batch script then
# puts the job back once more. So whoever waits for a job calls this again and again, and a test counts
# requeues from what it saw, not from none.
start_if_put_off() {
  [ "$(field "$1" JobState)" = PENDING ] || return 0
  sleep 2
  scontrol update "JobId=$1" StartTime=now 2> /dev/null || true # may just have started
}

# until_requeued JOB COUNT: waits until a job has been put back more than COUNT times.
until_requeued() {
  local deadline=$((SECONDS + 90))
  until [ "$(field "$1" Restarts)" -gt "$2" ]; do
    [ $SECONDS -lt $deadline ] || fail "job $1 was put back $(field "$1" Restarts) times, expected $(($2 + 1))"
    sleep 0.25
  done
}

# until_ended JOB STATE [SECONDS]: waits for the end of a job, which is to be STATE.
until_ended() {
  local deadline=$((SECONDS + ${3:-200})) state
  until state=$(field "$1" JobState) &&
    [[ $state =~ ^(COMPLETED|FAILED|TIMEOUT|CANCELLED|NODE_FAIL)$ ]]; do
    [ $SECONDS -lt $deadline ] || fail "job $1 is $state, expected $2"
    start_if_put_off "$1"
    sleep 0.25
  done
  [ "$state" = "$2" ] || fail "job $1 is $state, expected $2"
}

# check_weights NAME: each step is logged once, and the weights are those of an uninterrupted run.
check_weights() {
  sed -E 's/^\{"step": ([0-9]+),.*/\1/' "$work/$1/metrics.jsonl" > "$work/steps"
  seq "$steps" | cmp -s - "$work/steps" || fail "$1: steps are missing or repeated"
  cmp "$work/$1/export/model.safetensors" "$work/reference/export/model.safetensors" ||
    fail "$1: the weights differ from those of an uninterrupted run"
}

# check_finished JOB NAME: the job ends well, and its run too.
check_finished() {
  until_ended "$1" COMPLETED
  check_weights "$2"
}

# What no interruption may change.
make_reference() {
  mpirun -n 2 --oversubscribe --bind-to none "$trainer" --config "$recipe" \
    parallel.threads_per_rank=1 "run.output=$work/reference" > "$work/reference.log" 2>&1
}

# interrupt_and_resume ROUNDS SCRIPT NAME SCANCEL-FLAGS...: USR1 that often, a launcher that starts
# nothing and returns 0, then to the end.
interrupt_and_resume() {
  local rounds=$1 script=$2 name=$3 job round restarts
  shift 3
  job=$(submit "$script" "$name")
  for round in $(seq "$rounds"); do
    until_step "$name" $((round * 5)) "$job"
    restarts=$(field "$job" Restarts)
    scancel "$@" "$job"
    [ "$round" -lt "$rounds" ] || ln -sfn /bin/true "$STATEX_TRAIN"
    until_requeued "$job" "$restarts"
  done
  restarts=$(field "$job" Restarts)
  until_field "$job" JobState PENDING
  start_if_put_off "$job"
  until_requeued "$job" "$restarts"
  ln -sfn "$trainer" "$STATEX_TRAIN"
  check_finished "$job" "$name"
  grep -q "no rank took the run; the launcher returned 0" "$work/$name.log" ||
    fail "$name: no launch failed to start"
  echo "ok: $name, interrupted $rounds times and once not started, has the same weights ($script)"
}

# A wrong recipe is no reason to try again.
no_requeue_of_errors() {
  local job
  job=$(submit "$1" "$2" train.stepz=1)
  until_ended "$job" FAILED
  [ "$(field "$job" Restarts)" = 0 ] || fail "$2: requeued after an error"
  [ "$(field "$job" ExitCode)" = 64:0 ] || fail "$2: exit code $(field "$job" ExitCode)"
  echo "ok: $2 failed with 64 and stays out of the queue ($1)"
}

# Who cancels a job does not want it back.
no_requeue_of_cancelled() {
  local job
  job=$(submit "$1" "$2")
  until_step "$2" 5
  scancel "$job"
  until_field "$job" JobState CANCELLED
  sleep 8 # longer than KillWait
  [ "$(field "$job" JobState)" = CANCELLED ] || fail "$2: is $(field "$job" JobState)"
  [ "$(field "$job" Restarts)" = 0 ] || fail "$2: requeued after scancel"
  echo "ok: $2 stays cancelled ($1)"
}

# A job whose launches train nothing is given up.
no_endless_requeue() {
  local job
  printf '#!/bin/bash\nexec timeout -s KILL 4 %q "$@"\n' "$trainer" > "$work/dies"
  chmod +x "$work/dies"
  job=$(STATEX_TRAIN=$work/dies submit "$1" "$2" train.steps=1000)
  until_ended "$job" FAILED
  grep -q "3 launches in a row have saved nothing" "$work/$2.log" || fail "$2: no word of the bound"
  grep -q '"launches": 3,' "$work/$2/status.json" || fail "$2: $(cat "$work/$2/status.json")"
  echo "ok: $2, killed in each launch, is given up after three ($1)"
}

"$root/cluster/slurm/one-machine-slurm.sh" start "$work/slurm" > /dev/null
export SLURM_CONF=$work/slurm/slurm.conf
# The batch scripts run as root here, on claimed cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export MPIRUN_FLAGS="--oversubscribe --bind-to none"

make_reference
interrupt_and_resume 2 train.sbatch srun-run --signal=USR1
interrupt_and_resume 1 train-mpirun.sbatch mpirun-run --signal=USR1 --batch
no_requeue_of_errors train.sbatch srun-error
no_requeue_of_errors train-mpirun.sbatch mpirun-error
no_requeue_of_cancelled train.sbatch srun-cancelled
no_requeue_of_cancelled train-mpirun.sbatch mpirun-cancelled
no_endless_requeue train.sbatch srun-idle
if [ -n "${LONG:-}" ]; then
  # shellcheck source=Tests/Slurm/long.sh
  . "$root/Tests/Slurm/long.sh"
fi
echo "slurm test: all passed"
