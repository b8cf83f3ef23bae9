#!/usr/bin/env bash
# Fails with one line if the compiler or a C library (pkg-config names as arguments) is missing.
set -euo pipefail

for tool in swift pkg-config; do
  if ! command -v "$tool" > /dev/null; then
    echo "$tool is missing; run 'make setup'" >&2
    exit 1
  fi
done
for name in "$@"; do
  if ! pkg-config --exists "$name"; then
    echo "the C library '$name' is missing; run 'make setup'" >&2
    exit 1
  fi
done
