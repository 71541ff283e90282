#!/usr/bin/env bash
# A pipeline of three stages: a key for each, one image that is sealed stage by
# stage, and what the deploy check says of it each time.
#
#   run.sh                 uses bin/shuin of this repository, and builds it if it is not there
#   SHUIN=/path/to/shuin   uses that program
#   PORT=5001              uses another port
#
# Everything it writes is in a temporary directory, which it removes; what it
# starts, it stops. It exits 0 only when all of it went as it should.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
port=${PORT:-5000}
registry=localhost:$port

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

if [ -z "${SHUIN:-}" ]; then
	SHUIN=$root/bin/shuin
	[ -x "$SHUIN" ] || make -C "$root" build >&2 || fail "make build"
fi
[ -x "$SHUIN" ] || fail "no program at $SHUIN"
command -v curl >/dev/null || fail "curl is needed to see when the registry answers"

home=$(mktemp -d)
server=
cleanup() {
	status=$?
	trap - EXIT
	if [ -n "$server" ]; then
		kill "$server" 2>/dev/null || true
		wait "$server" 2>/dev/null || true
	fi
	rm -rf "$home"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# An empty home: nothing of the caller's configuration or credentials is used.
unset XDG_CONFIG_HOME XDG_CACHE_HOME NOTATION_CONFIG NOTATION_CACHE NOTATION_LIBEXEC NOTATION_USERNAME NOTATION_PASSWORD
export HOME=$home DOCKER_CONFIG=$home/docker NO_PROXY=localhost no_proxy=localhost

# shuin shows each call before it makes it.
shuin() {
	echo "\$ shuin $*"
	"$SHUIN" "$@"
}

# check STATUS [WORD]: the deploy check has that exit status, and says the word.
check() {
	local want=$1 word=${2:-} status=0
	shuin check --policy pipeline.yaml --cluster prod-1 deployment.yaml | tee "$home/said" || status=$?
	[ "$status" = "$want" ] || fail "check: exit status $status, want $want"
	grep -q -- "$word" "$home/said" || fail "check does not say: $word"
}

# The files of this example, for the port in use.
mkdir "$home/work"
for file in pipeline.yaml pipeline-test.yaml deployment.yaml; do
	sed "s/localhost:5000/$registry/g" "$here/$file" >"$home/work/$file"
done
cd "$home/work"

echo "== The policy: is it well made, and does it answer as we mean it?"
shuin policy lint pipeline.yaml
shuin policy test --policy pipeline.yaml pipeline-test.yaml

echo
echo "== A key for each stage, and a registry on $registry with a small image in it"
for stage in build test scan; do shuin cert generate-test "$stage.ci.example" >/dev/null; done
if curl -s -o "$home/nobody" "http://$registry/v2/"; then
	fail "something listens on $registry already; choose another port: PORT=5001 $0"
fi
"$SHUIN" dev-registry --listen "$registry" --sample shop/api:v1 >"$home/registry.log" 2>&1 &
server=$!
for _ in $(seq 100); do
	curl -fsS -o "$home/up" "http://$registry/v2/" 2>"$home/curl.log" && break
	kill -0 "$server" 2>/dev/null || fail "the registry ended: $(cat "$home/registry.log")"
	sleep 0.1
done
[ -e "$home/up" ] || fail "the registry does not answer: $(cat "$home/curl.log")"

echo
echo "== Nothing is sealed: denied"
check 1 "missing stages: build (no seal), unit-test (no seal), scan (no seal) \[unsigned\]"

echo
echo "== The build, and tests that fail: their status is passed on, and nothing is sealed"
shuin seal "$registry/shop/api:v1" --stage build --key build.ci.example -- sh -c 'echo built'
status=0
shuin seal "$registry/shop/api:v1" --stage unit-test --key test.ci.example -- sh -c 'echo "2 of 3 tests passed"; exit 7' || status=$?
[ "$status" = 7 ] || fail "seal: exit status $status, want 7"
check 1 "missing stages: unit-test (no seal), scan (no seal) \[stage-missing\]"

echo
echo "== Tests that pass, and a clean scan"
shuin seal "$registry/shop/api:v1" --stage unit-test --key test.ci.example -- sh -c 'echo "3 of 3 tests passed"'
shuin seal "$registry/shop/api:v1" --stage scan --key scan.ci.example --user-metadata critical=0
check 0 admitted

echo
echo "== Which pushed images passed which stages?"
shuin report --policy pipeline.yaml --cluster prod-1 "$registry/shop/api"

echo
echo "All as it should be."
