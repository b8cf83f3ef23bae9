#!/usr/bin/env bash
# What the batch scripts make of a run's status and a launcher's exit status, case by case; no Slurm.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
work=$(mktemp -d /tmp/statex-verdicts.XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir bin
printf '#!/bin/sh\necho "$*" >> %s/requeued\n' "$work" > bin/scontrol
chmod +x bin/scontrol
echo 'run: {name: a, output: runs/a, seed: 0} # {output: no}' > recipe.yaml

fail() {
  echo "verdicts: $*" >&2
  exit 1
}

# write_status LAUNCHES IDLE STATE [CODE ERROR]: as statex-train writes it.
write_status() {
  mkdir -p runs/a
  {
    printf '{\n  "run_id": "x",\n  "state": "%s",\n  "saved_step": 20,\n  "steps": 40,\n' "$3"
    printf '  "launches": %s,\n  "idle_launches": %s' "$1" "$2"
    [ $# -lt 4 ] || printf ',\n  "exit_code": %s,\n  "error": "%s"' "$4" "$5"
    printf '\n}\n'
  } > runs/a/status.json
}

# launch CODE [CANCELLED [STATUS...]]: a launch that leaves such a status, or none, and returns CODE;
# prints the job's exit status, and whether it was put back.
launch() {
  local code=$1 cancelled=${2:-} rc=0
  shift $(($# > 2 ? 2 : $#))
  rm -f requeued
  (
    PATH=$work/bin:$PATH
    # shellcheck source=cluster/slurm/run-status.sh
    . "$root/cluster/slurm/run-status.sh"
    begin_launch recipe.yaml a.b=c
    [ "${arguments[*]}" = "a.b=c run.output=runs/a" ] || fail "arguments are ${arguments[*]}"
    [ $# -eq 0 ] || write_status "$@"
    end_launch "$code" "$cancelled"
  ) > log 2>&1 || rc=$?
  echo "$rc$([ ! -s requeued ] || echo " $(cat requeued)")"
}

# expect WANTED TITLE LAUNCH-ARGUMENTS...
expect() {
  local wanted=$1 title=$2 got
  shift 2
  got=$(launch "$@")
  [ "$got" = "$wanted" ] || fail "$title: got '$got', expected '$wanted': $(cat log)"
}

# fresh [STATUS...]: a new run, or one with a status of earlier launches.
fresh() {
  rm -rf runs
  [ $# -eq 0 ] || write_status "$@"
}

# shellcheck disable=SC2031 # what a case sets is for that case
export SLURM_JOB_ID=7 SLURM_JOB_END_TIME=0
again="requeue 7"

fresh && expect 0 "finished" 0 "" 1 0 finished
fresh && expect 0 "finished, the launcher failed afterwards" 1 "" 1 0 finished
fresh && expect "75 $again" "saved" 75 "" 1 0 saved
fresh && expect "75 $again" "saved, mpirun returned 1" 1 "" 1 0 saved
fresh && expect 75 "saved on scancel" 75 yes 1 0 saved
fresh && expect "70 $again" "killed, the launcher returned 0" 0 "" 1 0 running
fresh && expect "137 $again" "killed" 137 "" 1 0 running
fresh && expect 65 "failed" 1 "" 1 0 failed 65 'bad: \"data\"'
grep -q 'bad: .*data' log || fail "the error is not shown: $(cat log)"
fresh && expect "74 $again" "failed with an I/O failure or a lost host" 143 "" 1 0 failed 74 lost

fresh && expect 64 "refused before there is a run" 64
fresh && expect 1 "never started" 1
fresh && expect 70 "never started, the launcher returned 0" 0
fresh && expect "75 $again" "stopped during the first start" 75
fresh 3 0 saved && expect "70 $again" "not started this time, the launcher returned 0" 0
fresh 3 0 finished && expect "1 $again" "not started, an earlier launch finished" 1
for code in 64 65 70; do
  fresh 3 0 saved && expect $code "refused at a restart" $code
done
fresh 3 0 saved && expect 137 "cancelled before it started" 137 yes

fresh
expect "137 $again" "first idle launch" 137 "" 1 1 running
expect "70 $again" "second, which did not start" 0
expect 75 "third" 75 "" 2 2 saved
grep -q "3 launches in a row have saved nothing" log || fail "the bound is not named: $(cat log)"
expect 137 "fourth of the same job" 137 "" 3 3 running
SLURM_JOB_ID=8
expect "137 requeue 8" "first of another job" 137 "" 4 4 running
expect "137 requeue 8" "second of it" 137 "" 5 5 running
expect "137 requeue 8" "one that saved" 137 "" 6 0 running
expect "137 requeue 8" "first idle one after it" 137 "" 7 1 running

export SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=3
fresh && expect "75 requeue 7_3" "an array's element" 75 "" 1 0 saved
unset SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID

export STATEX_CHAIN=c
fresh && expect 75 "a link that saved" 75 "" 1 0 saved
expect 0 "the link that finished" 0 "" 2 0 finished
expect 0 "the link after it" 99
grep -q "has ended" log || fail "a link after the end launches again: $(cat log)"
STATEX_CHAIN=d
expect 65 "a link that failed" 65 "" 3 0 failed 65 bad
expect 65 "the link after it" 99
unset STATEX_CHAIN

# What run.output is.
output_of() {
  (
    # shellcheck source=cluster/slurm/run-status.sh
    . "$root/cluster/slurm/run-status.sh"
    begin_launch "$@" > /dev/null 2>&1
    echo "$output"
  ) || echo "refused $?"
}
expect_output() {
  local wanted=$1 got
  shift
  got=$(output_of recipe.yaml "$@")
  [ "$got" = "$wanted" ] || fail "run.output of $(cat recipe.yaml), $*: '$got', expected '$wanted'"
}
expect_output runs/a
expect_output "/b c/d" run.output=x "run.output=/b c/d"
expect_output "refused 64" "run={output: x}"
expect_output "refused 64" "run.output=a:b"
printf 'run:\n  # output: no\n  output: "runs/\303\274 b"  # yes\n' > recipe.yaml
expect_output $'runs/\303\274 b'
printf 'run:\n  output:\n    runs/b\n' > recipe.yaml
expect_output "refused 64"
printf 'run: {output: a}\nmore: {output: b}\n' > recipe.yaml
expect_output "refused 64"
expect_output c run.output=c
rm recipe.yaml
expect_output "refused 64"
echo "ok: verdicts"
