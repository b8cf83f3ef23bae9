#!/usr/bin/env bash
# Runs both batch scripts of cluster/slurm on a private one-machine Slurm: signal, save, requeue,
# resume.
#
#   Tests/Slurm/run.sh                                       with a stand-in for the trainer
#   STATEX_TRAIN=.build/release/statex-train Tests/Slurm/run.sh
#
# Environment: STATEX_TRAIN, the program; RECIPE (default configs/tiny-gla.yaml); OVERRIDES, more
# key.path=value (default: enough steps to be interrupted); STEPS, how many that makes.
# Needs root and `make setup-slurm`; takes two minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD

STATEX_TRAIN=$(realpath "${STATEX_TRAIN:-Tests/Slurm/stand-in.sh}")
RECIPE=$(realpath "${RECIPE:-configs/tiny-gla.yaml}")
STEPS=${STEPS:-60}
export STATEX_TRAIN
read -ra overrides <<< "${OVERRIDES:-train.steps=$STEPS}"

work=$(mktemp -d /tmp/statex-slurm.XXXXXX)
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

# until_field JOB NAME PATTERN: waits at most 60 s.
until_field() {
  local try
  for try in $(seq 240); do
    [[ $(field "$1" "$2") =~ ^($3)$ ]] && return
    sleep 0.25
  done
  fail "job $1: $2 is $(field "$1" "$2"), expected $3"
}

logged_steps() {
  grep -c '"step"' "$work/$1/metrics.jsonl" 2> /dev/null || true
}

# until_steps NAME COUNT: waits until a run has logged that many steps.
until_steps() {
  local try count
  for try in $(seq 240); do
    count=$(logged_steps "$1")
    [ "${count:-0}" -ge "$2" ] && return
    sleep 0.25
  done
  fail "$1 has logged ${count:-no} steps, expected $2"
}

# submit SCRIPT NAME [RECIPE]: starts a run of two ranks, prints its job id.
submit() {
  (cd "$work" && sbatch --parsable --time=10 --ntasks-per-node=2 --cpus-per-task=1 \
    --job-name="$2" --output="$work/$2.log" "$root/cluster/slurm/$1" "${3:-$RECIPE}" \
    "run.output=$work/$2" "${overrides[@]}")
}

# Each step is logged once, none is missing.
check_steps() {
  sed -E 's/^\{"step": ([0-9]+),.*/\1/' "$work/$1/metrics.jsonl" > "$work/steps"
  seq "$STEPS" | cmp -s - "$work/steps" || fail "$1: steps are missing or repeated"
}

# interrupt_and_resume SCRIPT NAME SCANCEL-FLAGS...: USR1 twice, then to the end.
interrupt_and_resume() {
  local script=$1 name=$2 job round
  shift 2
  job=$(submit "$script" "$name")
  for round in 1 2; do
    until_field "$job" JobState RUNNING
    until_steps "$name" $((round * 10))
    scancel "$@" "$job"
    until_field "$job" Restarts $round
    until_field "$job" JobState PENDING
    sleep 2 # a restart in the second of the requeue is refused ("job credential revoked")
    scontrol update "JobId=$job" StartTime=now
  done
  until_field "$job" JobState COMPLETED
  check_steps "$name"
  echo "ok: $name, interrupted twice, is complete ($script)"
}

# A wrong recipe is no reason to try again.
no_requeue_of_errors() {
  local job
  job=$(submit "$1" "$2" /nowhere.yaml)
  until_field "$job" JobState FAILED
  [ "$(field "$job" Restarts)" = 0 ] || fail "$2: requeued after an error"
  [ "$(field "$job" ExitCode)" = 64:0 ] || fail "$2: exit code $(field "$job" ExitCode)"
  echo "ok: $2 failed with 64 and stays out of the queue ($1)"
}

# Who cancels a job does not want it back.
no_requeue_of_cancelled() {
  local job
  job=$(submit "$1" "$2")
  until_steps "$2" 5
  scancel "$job"
  until_field "$job" JobState CANCELLED
  sleep 8 # longer than KillWait
  [ "$(field "$job" JobState)" = CANCELLED ] || fail "$2: is $(field "$job" JobState)"
  [ "$(field "$job" Restarts)" = 0 ] || fail "$2: requeued after scancel"
  echo "ok: $2 stays cancelled ($1)"
}

cluster/slurm/one-machine-slurm.sh start "$work/slurm" > /dev/null
export SLURM_CONF=$work/slurm/slurm.conf
# The batch scripts run as root here, on claimed cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export MPIRUN_FLAGS="--oversubscribe --bind-to none"

interrupt_and_resume train.sbatch srun-run --signal=USR1
interrupt_and_resume train-mpirun.sbatch mpirun-run --signal=USR1 --batch
no_requeue_of_errors train.sbatch srun-error
no_requeue_of_errors train-mpirun.sbatch mpirun-error
no_requeue_of_cancelled train.sbatch srun-cancelled
no_requeue_of_cancelled train-mpirun.sbatch mpirun-cancelled
echo "slurm test: all passed"
