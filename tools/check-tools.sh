#!/usr/bin/env bash
# Fails with one line if the compiler or a C library is missing: pkg-config names or
# headers (.h) as arguments.
set -euo pipefail

for tool in swift clang pkg-config; do
  if ! command -v "$tool" > /dev/null; then
    echo "$tool is missing; run 'make setup'" >&2
    exit 1
  fi
done
has() {
  case $1 in
    *.h) echo "#include <$1>" | clang -E -x c - > /dev/null 2>&1 ;;
    *) pkg-config --exists "$1" ;;
  esac
}
for name in "$@"; do
  if ! has "$name"; then
    echo "the C library '$name' is missing; run 'make setup'" >&2
    exit 1
  fi
done
