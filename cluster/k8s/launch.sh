#!/usr/bin/env bash
# What the launcher of an MPIJob runs: one launch, judged as a job of a Slurm chain is.
#
#   launch.sh RECIPE [key.path=value ...]
#
# Exits with 0 only when the run has finished, and with 75 when it was saved, so that Kubernetes starts the
# launcher again. After a run that failed for good, or saved nothing three times in a row, the launches that
# are left end at once with the same code.
#
# Environment: RANKS, how many; THREADS, of each; STATEX_CHAIN, what all launches of a job have in common.
set -u
: "${1:?usage: launch.sh recipe.yaml [key.path=value ...]}" "${RANKS:?}" "${THREADS:?}" "${STATEX_CHAIN:?}"
# shellcheck source=cluster/slurm/run-status.sh
. "$(dirname "$0")/../slurm/run-status.sh"
begin_launch "$@"

# TERM, when the pod is deleted or its node drained, would make mpirun kill the ranks; USR1 makes them save.
mpirun -n "$RANKS" --map-by "slot:PE=$THREADS" -x OPENBLAS_NUM_THREADS=1 \
  statex-train --config "$1" --resume auto "parallel.threads_per_rank=$THREADS" "${arguments[@]}" &
mpirun=$!
cancelled=
again=yes
trap 'again=yes; cancelled=yes; kill -USR1 $mpirun' TERM
while [ -n "$again" ]; do
  again=
  wait $mpirun
  rc=$?
done
end_launch "$rc" "$cancelled"
