#!/usr/bin/env bash
# The local trial: a test key, a registry on localhost:5000, one image signed by
# tag, listed and verified under a trust policy; then an image signed with a key
# that the policy does not trust, which fails for that reason and no other.
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

echo "== A test key, which becomes the default signing key"
shuin cert generate-test --default trial.example

echo
echo "== A registry on $registry, with two small images in it"
if curl -s -o "$home/nobody" "http://$registry/v2/"; then
	fail "something listens on $registry already; choose another port: PORT=5001 $0"
fi
"$SHUIN" dev-registry --listen "$registry" --sample trial/app:v1 --sample trial/app:v2 >"$home/registry.log" 2>&1 &
server=$!
for _ in $(seq 100); do
	curl -fsS -o "$home/up" "http://$registry/v2/" 2>"$home/curl.log" && break
	kill -0 "$server" 2>/dev/null || fail "the registry ended: $(cat "$home/registry.log")"
	sleep 0.1
done
[ -e "$home/up" ] || fail "the registry does not answer: $(cat "$home/curl.log")"
cat "$home/registry.log"

echo
echo "== Sign by tag (the tag is pinned to its digest), and list"
shuin sign "$registry/trial/app:v1"
shuin ls "$registry/trial/app:v1"

echo
echo "== Import a trust policy and verify"
cat >"$home/policy.json" <<JSON
{
  "version": "1.0",
  "trustPolicies": [
    {
      "name": "local-trial",
      "registryScopes": ["$registry/trial/app"],
      "signatureVerification": {"level": "strict"},
      "trustStores": ["ca:trial.example"],
      "trustedIdentities": ["*"]
    }
  ]
}
JSON
shuin policy import "$home/policy.json"
shuin verify "$registry/trial/app:v1"

echo
echo "== The same repository, an image signed with a key that the policy does not trust"
shuin cert generate-test stranger.example
shuin sign --key stranger.example "$registry/trial/app:v2"
status=0
shuin verify "$registry/trial/app:v2" || status=$?
[ "$status" = 1 ] || fail "verify of an image signed by a stranger: exit status $status, want 1"

echo
echo "== It failed for that reason, and not because no policy applied"
report=$("$SHUIN" verify --output json "$registry/trial/app:v2" 2>/dev/null | tr -d ' \n') || true
case $report in
*'"result":"not-verified","reason":{"code":"untrusted"'*) echo "reason code: untrusted" ;;
*) fail "another reason: $report" ;;
esac
case $report in
*'"statement":"local-trial"'*) echo "policy statement: local-trial" ;;
*) fail "the policy statement was not used: $report" ;;
esac

echo
echo "All as it should be."
