# shellcheck shell=bash
# Sourced by the batch scripts. What a run says of itself (status.json in its directory) decides what
# becomes of the job; the launcher's exit status counts only when no rank took the run.
#
#   begin_launch RECIPE [key.path=value ...]   before the launcher: sets output; arguments, for the
#                                              program; job, this job's name for scontrol
#   end_launch CODE CANCELLED                  after it, with its exit status, and whether somebody
#                                              cancelled the job: puts the job back, or ends it
#
# A job whose launches save nothing three times in a row is not put back any more. `last-job` in the run
# directory keeps the count, and the verdict on the last launch: whose, idle launches, exit code, again.
#
# It also sets SLURM_JOB_END_TIME, by which the program stops in time.
#
# Environment: STATEX_CHAIN, the name of a chain (chain.sh): its launches are not put back, the next
# one goes on, or ends at once if the run has ended.

idle_limit=3

say() {
  echo "$(date -u +%FT%TZ) job $job: $*"
}

# status FIELD: a field of the run's status; empty when there is none.
status() {
  sed -nE "s/^ *\"$1\": (\"(.*)\"|([^\"]*[^\",])),?\$/\2\3/p" "$output/status.json" 2> /dev/null
}

# text_of_output RECIPE [key.path=value ...]: the value of run.output as far as it can be told without
# reading YAML: from the command line, or from the only `output:` of the recipe.
text_of_output() {
  local recipe=$1 argument found=
  shift
  for argument in "$@"; do
    case $argument in
      run.output=*) found=${argument#*=} ;;
      run=*) found='{}' ;;
    esac
  done
  if [ -z "$found" ]; then
    found=$(sed -E 's/(^|[[:space:]])#.*//' "$recipe" |
      sed -nE 's/.*(^|[{,[:space:]])output:[[:space:]]+([^,}]*).*/\2/p')
  fi
  # Trailing blanks; and quotes around it.
  sed -E "s/[[:space:]]+\$//; s/^\"([^\"\\\\]*)\"\$/\1/; s/^'([^']*)'\$/\1/" <<< "$found"
}

begin_launch() {
  local owner idle code again end
  job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
  job=${job:-${SLURM_JOB_ID:-$HOSTNAME}}
  if ! [ -r "$1" ]; then
    say "cannot read the recipe $1" >&2
    exit 64
  fi
  output=$(text_of_output "$@")
  shift
  # Not what YAML and the shell read differently.
  if [[ ! $output =~ ^[^[:space:]~-] || $output == *[][{}\"\'\\\#\&*!\|\>%@\`,:$'\n']* ]]; then
    say "cannot tell run.output from the recipe: add run.output=DIRECTORY to the arguments" >&2
    exit 64
  fi
  # Said again, so that program and script cannot differ.
  # shellcheck disable=SC2034
  arguments=("$@" "run.output=$output")
  launches=$(status launches)
  # When the job's time is up; Slurm before 23.02 does not say.
  if [ -n "${SLURM_JOB_ID:-}" ] && [ -z "${SLURM_JOB_END_TIME:-}" ] &&
    end=$(squeue --noheader --jobs="$job" --format=%e 2> /dev/null); then
    SLURM_JOB_END_TIME=$(date -d "$end" +%s 2> /dev/null) && export SLURM_JOB_END_TIME
  fi

  if [ -n "${STATEX_CHAIN:-}" ] &&
    read -r owner idle code again 2> /dev/null < "$output/last-job" &&
    [ "$owner" = "$STATEX_CHAIN" ] && [ -z "$again" ]; then
    say "the chain has ended before: nothing to do"
    exit "$code"
  fi
}

# judge CODE: sets code, the job's exit status; again, whether another launch makes sense; and outcome,
# in words.
judge() {
  code=$1 again=
  if [ "$(status launches)" = "$launches" ]; then
    outcome="no rank took the run; the launcher returned $code"
    case $code in
      64 | 65 | 70) ;; # the program said why
      75) again=yes ;; # stopped during start-up
      *) again=${launches:+yes} ;; # a launcher that has worked before
    esac
  else
    outcome="$(status state) at step $(status saved_step) of $(status steps)"
    case $(status state) in
      finished) code=0 && return ;;
      saved) code=75 again=yes ;;
      failed)
        code=$(status exit_code)
        outcome="failed after step $(status saved_step): $(status error)"
        # A host or a rank that was lost, or files that could not be reached: elsewhere it may work.
        [ "$code" != 74 ] || again=yes
        ;;
      *)
        outcome="killed after step $(status saved_step); the launcher returned $code"
        again=yes
        ;;
    esac
  fi
  [ "$code" != 0 ] || code=70
}

# count_idle: launches in a row, this one included, that have saved nothing.
count_idle() {
  local owner before rest
  if [ "$(status launches)" != "$launches" ] && [ "$(status idle_launches)" = 0 ]; then
    echo 0
  elif read -r owner before rest 2> /dev/null < "$output/last-job" && [ "$owner" = "$1" ]; then
    echo $((before + 1))
  else
    echo 1
  fi
}

end_launch() {
  local cancelled=$2 owner=${STATEX_CHAIN:-$job} idle code again outcome
  judge "$1"
  idle=$(count_idle "$owner")
  if [ -n "$again" ] && [ "$idle" -ge $idle_limit ]; then
    outcome+="; $idle launches in a row have saved nothing, so it is given up"
    again=
  fi
  mkdir -p "$output" && echo "$owner $idle $code $again" > "$output/last-job"
  if [ -z "$again" ]; then
    say "$outcome"
  elif [ -n "$cancelled" ]; then
    say "$outcome; cancelled"
  elif [ -n "${STATEX_CHAIN:-}" ]; then
    say "$outcome; the next launch of the chain goes on"
  else
    say "$outcome; goes back to the queue"
    scontrol requeue "$job"
  fi
  exit "$code"
}
