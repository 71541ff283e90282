#!/bin/sh
# Runs every fuzz target of all modules, two at a time: FUZZTIME each (30s
# unless set), AGREETIME (60s unless set) for those that compare two
# verifiers. The signer's decoders run under the race detector. A target that
# fails leaves its input under testdata/fuzz and fails this script.
#
# fuzz.sh MODULE PACKAGE TARGET TIME runs one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
: "${FUZZTIME:=30s}" "${AGREETIME:=60s}"

if [ $# = 4 ]; then
	race=
	case $2 in ./signing | ./internal/awssigner | ./internal/sigv4) race=-race ;; esac
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	fuzz() {
		# shellcheck disable=SC2086
		(cd "$1" && go test $race -run '^$' -fuzz "^$3\$" -fuzztime "$4" -fuzzminimizetime 10x -parallel 1 "$2") >"$log" 2>&1
	}
	# Go's fuzzer now and then reports its own deadline as a failure
	# (golang.org/issue/75804); there is no failing input then.
	if ! fuzz "$@" && { ! grep -q 'context deadline exceeded' "$log" || grep -q 'Failing input' "$log" || ! fuzz "$@"; }; then
		echo "fuzz $1/$2 $3 FAILED"
		cat "$log"
		exit 1
	fi
	echo "fuzz $1/$2 $3 for $4: $(grep -h '^fuzz: elapsed' "$log" | tail -n 1)"
	exit 0
fi

list=$(mktemp)
trap 'rm -f "$list"' EXIT
for module in . conformance conformance/blob; do
	for pkg in $(cd "$module" && grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
		case "$module:$pkg" in .:./conformance* | conformance:./blob*) continue ;; esac
		for target in $(cd "$module/$pkg" && grep -ho '^func Fuzz[A-Za-z0-9_]*' ./*_test.go | sed 's/^func //' | sort -u); do
			time=$FUZZTIME
			case $target in FuzzVerifyAgrees | FuzzBlobVerdictsAgree) time=$AGREETIME ;; esac
			echo "$module $pkg $target $time"
		done
	done
done >"$list"
count=$(wc -l <"$list")
[ "$count" -ge 40 ] || { echo "only $count fuzz targets found: the search is broken" >&2; exit 1; }
xargs -P 2 -L 1 "$here/fuzz.sh" <"$list"
echo "$count fuzz targets ran clean"
