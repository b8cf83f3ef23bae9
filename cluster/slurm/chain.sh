#!/usr/bin/env bash
# A run as a chain of jobs, for clusters that allow no requeue:
#
#   cluster/slurm/chain.sh COUNT [sbatch options] cluster/slurm/train.sbatch recipe.yaml [key.path=value ...]
#
# Submits COUNT jobs, each of which starts when the one before it has ended, however it ended
# (afterany). Each trains until its time limit and exits with 75; the next one goes on. Once the run has
# finished, failed for good, or saved nothing three times in a row, the jobs that are left end at once with
# the same exit status. Prints the job ids; to stop the chain, cancel all of them.
set -euo pipefail

if [ $# -lt 3 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: $0 COUNT [sbatch options] SCRIPT recipe.yaml [key.path=value ...]" >&2
  exit 64
fi
count=$1
shift

STATEX_CHAIN=chain-$(date +%s)-$$
export STATEX_CHAIN
jobs=()
for ((link = 0; link < count; link++)); do
  dependency=()
  [ ${#jobs[@]} -eq 0 ] || dependency=("--dependency=afterany:${jobs[-1]}")
  jobs+=("$(sbatch --parsable --no-requeue "${dependency[@]}" "$@")")
done
echo "jobs: ${jobs[*]}"
