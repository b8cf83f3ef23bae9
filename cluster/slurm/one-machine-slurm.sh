#!/usr/bin/env bash
# A private Slurm cluster of this one machine, for tests: nothing outside its folder is touched, no
# systemd, no cgroups.
#
#   one-machine-slurm.sh start DIR    start munged, slurmctld and slurmd; DIR must be new or empty
#   one-machine-slurm.sh stop DIR     stop them (DIR and its logs stay)
#
# Afterwards `export SLURM_CONF=DIR/slurm.conf` makes sbatch, squeue and srun use it. Runs as root,
# which starting jobs as another user would need anyway. Packages: `make setup-slurm`.
#
# Environment: SLURM_TEST_CPUS (default 8) is what the node claims to have.
set -euo pipefail

fail() {
  echo "one-machine-slurm: $*" >&2
  exit 1
}

# A free TCP port at or above the one given.
free_port() {
  local port=$1
  while (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do
    port=$((port + 1))
  done
  echo "$port"
}

write_configuration() {
  local dir=$1 host controller_port node_port
  host=$(hostname -s)
  controller_port=$(free_port 16817)
  node_port=$(free_port $((controller_port + 1)))
  cat > "$dir/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.sock
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=600
SchedulerParameters=sched_interval=2
SlurmctldParameters=preempt_send_user_signal
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=${SLURM_TEST_CPUS:-8} State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE GraceTime=20
PartitionName=urgent Nodes=$host MaxTime=INFINITE PriorityTier=10
CONF
  # From 23.11 on Slurm looks for cgroups unless told not to.
  local version
  version=$(slurmctld -V | sed -E 's/[^0-9]*([0-9]+)\.([0-9]+).*/\1\2/')
  if [ "$version" -ge 2311 ]; then
    echo "CgroupPlugin=disabled" > "$dir/cgroup.conf"
  fi
}

start() {
  local dir=$1 tool
  for tool in munged slurmctld slurmd sinfo; do
    command -v "$tool" > /dev/null || fail "$tool is missing; run 'make setup-slurm'"
  done
  [ "$(id -u)" -eq 0 ] || fail "must run as root"
  if [ -e "$dir" ] && [ -n "$(ls -A "$dir")" ]; then
    fail "$dir is not empty"
  fi
  mkdir -p "$dir/state" "$dir/spool"
  dir=$(cd "$dir" && pwd)
  chmod 755 "$dir"
  (umask 077 && dd if=/dev/urandom of="$dir/munge.key" bs=1 count=1024 status=none)
  write_configuration "$dir"
  export SLURM_CONF=$dir/slurm.conf

  munged --key-file="$dir/munge.key" --socket="$dir/munge.sock" --pid-file="$dir/munged.pid" \
    --log-file="$dir/munged.log" --seed-file="$dir/munge.seed" --force 2> /dev/null
  slurmctld -f "$SLURM_CONF"
  slurmd -f "$SLURM_CONF"

  for _ in $(seq 60); do
    if sinfo --noheader --format=%T 2> /dev/null | grep -q idle; then
      echo "export SLURM_CONF=$SLURM_CONF"
      return
    fi
    sleep 0.5
  done
  stop "$dir"
  fail "the node did not become idle in 30 s; see $dir/slurmctld.log and $dir/slurmd.log"
}

stop() {
  local dir=$1 name pid
  for name in slurmd slurmctld munged; do
    [ -s "$dir/$name.pid" ] || continue
    pid=$(cat "$dir/$name.pid")
    kill "$pid" 2> /dev/null || true
    for _ in $(seq 40); do
      kill -0 "$pid" 2> /dev/null || break
      sleep 0.25
    done
  done
}

[ $# -eq 2 ] || fail "usage: $0 start|stop DIR"
case $1 in
  start) start "$2" ;;
  stop) stop "$2" ;;
  *) fail "usage: $0 start|stop DIR" ;;
esac
