#!/usr/bin/env bash
# Behaves towards Slurm as statex-train does, without training: rank 0 logs a step every 0.2 s, USR1
# and TERM make every rank save and exit with 75, a resumed run continues, a missing recipe exits
# with 64.
set -u

config=
output=runs/stand-in
steps=50
while [ $# -gt 0 ]; do
  case $1 in
    --config) config=$2 && shift ;;
    --resume) shift ;;
    run.output=*) output=${1#*=} ;;
    train.steps=*) steps=${1#*=} ;;
  esac
  shift
done
if [ ! -f "$config" ]; then
  echo "error: $config: there is no such recipe" >&2
  exit 64
fi

rank=${OMPI_COMM_WORLD_RANK:-${SLURM_PROCID:-0}}
echo "rank $rank of ${OMPI_COMM_WORLD_SIZE:-${SLURM_NTASKS:-1}} on $(hostname)"
mkdir -p "$output"
saved=$output/saved-$rank
step=$(cat "$saved" 2> /dev/null || echo 0)

stop=
trap 'stop=yes' USR1 TERM
while [ "$step" -lt "$steps" ]; do
  if [ -n "$stop" ]; then
    sleep 0.5 # saving takes a while
    echo "$step" > "$saved"
    exit 75
  fi
  step=$((step + 1))
  [ "$rank" -ne 0 ] || echo "{\"step\": $step, \"loss\": 1.0}" >> "$output/metrics.jsonl"
  sleep 0.2
done
exit 0
