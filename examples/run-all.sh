#!/usr/bin/env bash
# Runs every example, two at a time, each with a temporary directory of its own,
# and says how long it took. One that fails, or leaves something behind, is
# shown whole, and this fails too.
set -euo pipefail
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
./build.sh
export BUILT=1 out

one() {
	local name began=$SECONDS left
	name=$(dirname "$1")
	mkdir "$out/$name"
	if ! TMPDIR=$out/$name "./$1" >"$out/$name.log" 2>&1; then
		cat "$out/$name.log"
		echo "FAILED: examples/$1"
		return 1
	fi
	left=$(ls -A "$out/$name")
	if [ -n "$left" ]; then
		echo "FAILED: examples/$1 left behind: $left"
		return 1
	fi
	sed -n '/^  CASE /,$p' "$out/$name.log" >"$out/$name.table"
	echo "examples/$1: $((SECONDS - began)) s" >>"$out/$name.table"
	cat "$out/$name.table"
}
export -f one
printf '%s\n' */run.sh | xargs -n 1 -P 2 bash -euo pipefail -c 'one "$0"'
