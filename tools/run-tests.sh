#!/usr/bin/env bash
# Runs a command that runs Swift tests: prints what it prints and ends with its exit code. After a failure it repeats,
# at the very end, what failed: the issues of tests, and the tests that a crash did not let end.
#
#   tools/run-tests.sh swift test --no-parallel
set -uo pipefail
export LC_ALL=C  # Marks are bytes here, whatever the encoding of what tests print.

most=100
diamond=$'\xe2\x97\x87' check=$'\xe2\x9c\x94' cross=$'\xe2\x9c\x98'

# What tests print may stand before a mark on its line, so none is looked for at the beginning.

# Prints what a log says about failing tests.
failures() {
  grep -aoE "$cross Test .*( recorded an issue | failed after ).*" "$1" | grep -avE "^$cross Test run with "
}

# Prints the tests of a log that began and did not end; none of a run that came to its end.
unfinished() {
  ! grep -aqE "($check|$cross) Test run with " "$1" || return 0
  awk -v began="$diamond Test " -v ended="($check|$cross) Test " '
    $0 ~ began ".* started\\.$" {
      sub(".*" began, ""); sub(/ started\.$/, "")
      if ($0 !~ /^(run$|case passing )/) { open[$0]; names[++count] = $0 }
      next
    }
    $0 ~ ended ".* (passed|failed) after " {
      sub(".*" ended, ""); sub(/ (passed|failed) after .*/, ""); sub(/ with [0-9]+ test cases?$/, "")
      delete open[$0]
    }
    END { for (i = 1; i <= count; i++) if (names[i] in open) print "did not end: " names[i] }' "$1"
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" 2>&1 | tee "$log"
code=${PIPESTATUS[0]}
[ "$code" -ne 0 ] || exit 0

found=$({ failures "$log"; unfinished "$log"; } | cut -c1-1000)
if [ -n "$found" ]; then
  count=$(wc -l <<< "$found")
  printf '\nWhat failed'
  [ "$count" -le "$most" ] || printf ' (the first %d of %d lines)' "$most" "$count"
  printf ':\n'
  head -n "$most" <<< "$found"
fi
exit "$code"
