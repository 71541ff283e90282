#!/usr/bin/env bash
# Runs every example, each with a temporary directory of its own, and says how
# long it took. One that fails, or leaves something behind, ends it.
set -euo pipefail
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mkdir "$out/tmp"
for run in */run.sh; do
	began=$SECONDS
	if ! TMPDIR=$out/tmp "./$run" >"$out/said" 2>&1; then
		cat "$out/said"
		echo "FAILED: examples/$run" >&2
		exit 1
	fi
	sed -n '/^  CASE /,$p' "$out/said"
	if [ -n "$(ls -A "$out/tmp")" ]; then
		echo "FAILED: examples/$run left behind: $(ls -A "$out/tmp")" >&2
		exit 1
	fi
	echo "examples/$run: $((SECONDS - began)) s"
done
