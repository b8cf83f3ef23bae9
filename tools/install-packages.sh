#!/usr/bin/env bash
# Installs the Debian packages given as arguments that are not installed yet.
set -euo pipefail

fail() {
  echo "setup: $*" >&2
  exit 1
}

if ! command -v swift > /dev/null; then
  fail "swift is missing; install Swift 6.2 or newer from https://www.swift.org/install/linux/"
fi

if ! command -v dpkg-query > /dev/null; then
  fail "no dpkg here; install what corresponds to: $*, then run 'make build'"
fi

missing=()
for package in "$@"; do
  state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2> /dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: all packages are installed"
  exit 0
fi

echo "setup: installing ${missing[*]}"
if [ "$(id -u)" -eq 0 ]; then
  root=()
elif command -v sudo > /dev/null && { [ -t 0 ] || sudo -n true 2> /dev/null; }; then
  root=(sudo)
else
  fail "root is needed (no usable sudo); ask for: apt-get install ${missing[*]}"
fi
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install --yes -qq --no-install-recommends "${missing[@]}" < /dev/null
