#!/bin/sh
# Runs every fuzz target of both modules: FUZZTIME each (30s unless set),
# AGREETIME (60s unless set) for the one that compares two verifiers. A target
# that fails leaves its input under testdata/fuzz and fails this script.
set -eu
cd "$(dirname "$0")/.."
: "${FUZZTIME:=30s}" "${AGREETIME:=60s}"
count=0
fuzz() { # as run
	(cd "$1" && go test -run '^$' -fuzz "^$3\$" -fuzztime "$4" -fuzzminimizetime 10x "$2")
}
run() { # module directory, package, target, time
	echo "fuzz $1/$2 $3 for $4"
	log=$(mktemp)
	if ! fuzz "$@" >"$log" 2>&1; then
		# Go's fuzzer now and then reports its own deadline as a failure
		# (golang.org/issue/75804); there is no failing input then.
		if grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
			echo "fuzz $1/$2 $3: again, the fuzzer's own deadline was told as a failure"
			fuzz "$@" >"$log" 2>&1 || { cat "$log"; rm -f "$log"; exit 1; }
		else
			cat "$log"
			rm -f "$log"
			exit 1
		fi
	fi
	tail -n 3 "$log"
	rm -f "$log"
	count=$((count + 1))
}
for module in . conformance; do
	for pkg in $(cd "$module" && grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
		case "$module:$pkg" in .:./conformance*) continue ;; esac
		for target in $(cd "$module/$pkg" && grep -ho '^func Fuzz[A-Za-z0-9_]*' ./*_test.go | sed 's/^func //' | sort -u); do
			time=$FUZZTIME
			[ "$target" = FuzzVerifyAgrees ] && time=$AGREETIME
			run "$module" "$pkg" "$target" "$time"
		done
	done
done
[ "$count" -ge 10 ] || { echo "only $count fuzz targets found: the search is broken" >&2; exit 1; }
echo "$count fuzz targets ran clean"
