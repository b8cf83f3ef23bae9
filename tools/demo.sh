#!/usr/bin/env bash
echo "demo: not here yet" >&2
exit 1
