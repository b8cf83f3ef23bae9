# shellcheck shell=bash disable=SC2154
# Sourced by run.sh with LONG=1: what takes longer, and what clusters do by themselves.

# USR1 by Slurm before the time limit of a minute: within the first half of it.
time_limit() {
  local job
  job=$(SBATCH="--time=1 --signal=$3" submit "$1" "$2" train.steps=200)
  until_field "$job" Restarts 1 120
  scontrol update "JobId=$job" TimeLimit=10
  until_ended "$job" COMPLETED 300
  grep -q '"saved_step": 200,' "$work/$2/status.json" || fail "$2: $(cat "$work/$2/status.json")"
  echo "ok: $2 goes on after its time limit ($1)"
}

# A job of a partition of higher priority takes the node. With srun the ranks get TERM and the grace time
# (20 s); the script of mpirun gets the signal of --signal.
preemption() {
  local job urgent
  job=$(submit "$1" "$2")
  until_step "$2" 5
  urgent=$(sbatch --parsable --partition=urgent --ntasks=8 --time=1 --output=/dev/null --wrap "sleep 1")
  until_ended "$urgent" COMPLETED
  until_requeued "$job" 0
  check_finished "$job" "$2"
  grep -q "saved at step" "$work/$2.log" || fail "$2: did not save in the grace time"
  echo "ok: $2, preempted, has the same weights ($1)"
}

# The node is lost in the middle.
node_failure() {
  local job node
  node=$(hostname -s)
  job=$(submit "$1" "$2" checkpoint.every=5)
  until_step "$2" 12
  scontrol update "NodeName=$node" State=DOWN Reason=test
  until_requeued "$job" 0
  scontrol update "NodeName=$node" State=RESUME
  check_finished "$job" "$2"
  echo "ok: $2, its node failed, has the same weights ($1)"
}

# Two seeds at a time, one of them interrupted: each has its own directory, only one is requeued.
array_of_seeds() {
  local job name=seeds task
  job=$(SBATCH="--array=0-1" submit array-seeds.sbatch "$name")
  until_step "$name/seed-1" 5
  until_field "${job}_1" JobState RUNNING
  scancel --signal=USR1 "${job}_1"
  until_requeued "${job}_1" 0
  for task in 0 1; do
    until_ended "${job}_$task" COMPLETED
    grep -q '"state": "finished"' "$work/$name/seed-$task/status.json" || fail "seed $task: unfinished"
  done
  [ "$(field "${job}_0" Restarts)" = 0 ] || fail "seed 0 was requeued with seed 1"
  cmp -s "$work/$name/seed-0/export/model.safetensors" "$work/reference/export/model.safetensors" ||
    fail "seed 0: the weights differ from those of a run without an array"
  ! cmp -s "$work/$name"/seed-{0,1}/export/model.safetensors || fail "both seeds have the same weights"
  echo "ok: an array of two seeds, one of them interrupted"
}

# Three jobs in a row: the first is interrupted, the second finishes, the third has nothing to do.
chain_of_jobs() {
  local name=chain jobs
  read -ra jobs <<< "$(cd "$work" && "$root/cluster/slurm/chain.sh" 3 --time=10 --ntasks-per-node=2 \
    --cpus-per-task=1 --output="$work/$name.log" "$root/cluster/slurm/train.sbatch" "$recipe" \
    "run.output=$work/$name" | sed -n 's/^jobs: //p')"
  [ ${#jobs[@]} -eq 3 ] || fail "$name: jobs are '${jobs[*]}'"
  until_step "$name" 5
  scancel --signal=USR1 "${jobs[0]}"
  until_ended "${jobs[0]}" FAILED
  [ "$(field "${jobs[0]}" ExitCode)" = 75:0 ] || fail "$name: $(field "${jobs[0]}" ExitCode)"
  check_finished "${jobs[1]}" "$name"
  until_ended "${jobs[2]}" COMPLETED
  grep -q '"launches": 2,' "$work/$name/status.json" || fail "$name: $(cat "$work/$name/status.json")"
  echo "ok: a chain of three jobs, finished by the second"
}

# The launcher of cluster/k8s, on this machine: saves on TERM, goes on, and has nothing to do after the end.
kubernetes_launcher() {
  local name=k8s launch=$root/cluster/k8s/launch.sh pid rc=0
  local -x RANKS=2 THREADS=1 STATEX_CHAIN=job PATH=$work:$PATH
  "$launch" "$recipe" "run.output=$work/$name" > "$work/$name.log" 2>&1 &
  pid=$!
  until_step "$name" 5
  kill "$pid"
  wait "$pid" || rc=$?
  [ $rc -eq 75 ] || fail "$name: exited with $rc after TERM"
  for _ in 1 2; do
    "$launch" "$recipe" "run.output=$work/$name" >> "$work/$name.log" 2>&1 || fail "$name: exited with $?"
  done
  grep -q '"launches": 2,' "$work/$name/status.json" || fail "$name: $(cat "$work/$name/status.json")"
  check_weights "$name"
  echo "ok: the launcher for Kubernetes"
}

kubernetes_launcher
interrupt_and_resume 5 train.sbatch srun-five --signal=USR1
interrupt_and_resume 5 train-mpirun.sbatch mpirun-five --signal=USR1 --batch
time_limit train.sbatch srun-limit USR1@30
time_limit train-mpirun.sbatch mpirun-limit B:USR1@30
cmp "$work"/{srun,mpirun}-limit/export/model.safetensors || fail "interrupted elsewhere, other weights"
preemption train.sbatch srun-preempted
preemption train-mpirun.sbatch mpirun-preempted
node_failure train.sbatch srun-node
node_failure train-mpirun.sbatch mpirun-node
array_of_seeds
chain_of_jobs
no_endless_requeue train-mpirun.sbatch mpirun-idle
