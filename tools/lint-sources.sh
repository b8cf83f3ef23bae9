#!/usr/bin/env bash
# The house rules that neither the compiler nor the formatter knows.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
complain() {
  echo "lint: $1" >&2
  sed 's/^/  /' <<< "$2" >&2
  status=1
}

# A C library is imported in one room only: only_in MODULE ROOM
only_in() {
  local found
  found=$(grep -rnE "^[^/]*\bimport +$1\b" Sources Tests --include='*.swift' \
    | grep -v "^Sources/$2/" || true)
  if [ -n "$found" ]; then
    complain "$1 may be imported in Sources/$2 only" "$found"
  fi
}
only_in CMPI Collectives
only_in CZstd Compression
only_in CXXHash Compression
only_in CZlib Compression
only_in COpenBLAS Kernels
only_in COneDNN Kernels

# Files are touched in one room: one check of every call, one place for faults.
calls='open|openat|fopen|rename|unlink|mkdir|rmdir|fsync|mkstemp|opendir|flock|access|l?stat'
direct=$(grep -rnE "\bFileManager\b|\bFileHandle\(|[^.a-zA-Z_]($calls)\(|contentsOf: *URL|write\(toFile" \
  Sources --include='*.swift' | grep -vE '^Sources/(Files/|ErrorReporting/StandardError.swift)|func open' || true)
if [ -n "$direct" ]; then
  complain "files are read and written through Sources/Files" "$direct"
fi

# JSON has no NaN: one place knows what becomes of it.
spelt=$(grep -rnE '\.number\("\\\(' Sources --include='*.swift' | grep -v '^Sources/JSON/' || true)
if [ -n "$spelt" ]; then
  complain "numbers become JSON through JSONValue(_:)" "$spelt"
fi

long=$(find Sources Tests -name '*.swift' -exec wc -l {} + | awk '$2 != "total" && $1 > 600')
if [ -n "$long" ]; then
  complain "files of more than 600 lines ask for a seam" "$long"
fi

# Test data may hold any byte; sources may not.
foreign=$(LC_ALL=C grep -rnP '[^\x00-\x7F]' Sources Tests tools cluster configs Package.swift Makefile \
  --include='*.swift' --include='*.h' --include='*.c' --include='*.modulemap' --include='*.py' \
  --include='*.sh' --include='*.sbatch' --include='*.yaml' --include=Makefile \
  | grep -vE '^Tests/[^:]*/(Fixtures|Data)/' || true)
if [ -n "$foreign" ]; then
  complain "sources are ASCII; write \\u{...} escapes" "$foreign"
fi

for script in $(find tools cluster .ci Tests -name '*.sh' -o -name '*.sbatch' -o -path '.ci/run'); do
  bash -n "$script" || status=1
done

exit $status
