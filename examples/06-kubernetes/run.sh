#!/usr/bin/env bash
# A gate in a Kubernetes cluster: a real API server with its controllers and
# kubectl (test/kube), where Pods are said to run and nothing is pulled. Each case
# is what somebody does with kubectl; the table says what became of it.
#
# It starts its own cluster, and never looks at yours.
set -euo pipefail
if [ "${1:-}" != inside ]; then
	here=$(cd "$(dirname "$0")" && pwd) && cd "$here/../../test/kube"
	[ -n "${BUILT:-}" ] || "$here/../build.sh"
	go build -trimpath -o ../../bin/trial/kube-sandbox ./cmd/kube-sandbox
	BUILT=1 exec ../../bin/trial/kube-sandbox --service shuin-system/shuin-gate "$here/run.sh" inside
fi
: "${KUBE_SANDBOX_ADDRESS:?it is kube-sandbox that says this}"
. "$(dirname "$0")/../aws.sh"

kubectl() {
	show kubectl "$@"
	command kubectl "$@"
}

# quiet asks about what others show.
quiet() { command kubectl "$@"; }

# run_gate runs what the Pods of the gate would run: the configuration that was
# installed, with the rights of its service account alone, behind its Service.
run_gate() {
	until quiet create token shuin-gate -n shuin-system --duration 1h >"$home/token" 2>"$home/waiting"; do sleep 0.2; done
	cat >"$home/gate.kubeconfig" <<-YAML
		{apiVersion: v1, kind: Config, current-context: gate, contexts: [{name: gate, context: {cluster: prod, user: gate}}], users: [{name: gate, user: {tokenFile: $home/token}}],
		clusters: [{name: prod, cluster: $(quiet config view --raw --minify --flatten -o jsonpath='{.clusters[0].cluster}')}]}
	YAML
	quiet get configmap shuin-gate -n shuin-system -o 'jsonpath={.data.shuind\.yaml}' |
		sed "s|^kubernetes:|&\n  kubeconfig: $home/gate.kubeconfig|; s|0.0.0.0:9443|$KUBE_SANDBOX_ADDRESS|; s|0.0.0.0:9464|127.0.0.1:0|; s|/var/cache/shuind|$home/cache|" >"$home/shuind.yaml"
	"$SHUIND" serve --config "$home/shuind.yaml" >"$home/gate.log" 2>&1 &
	started+=($!)
}

# becomes SECONDS WANTED COMMAND…: waits until the command says so, and says
# what it said last.
becomes() {
	local end=$((SECONDS + $1)) wanted=$2 now
	until now=$("${@:3}") && [ "$now" = "$wanted" ] || [ "$SECONDS" -ge "$end" ]; do sleep 0.2; done
	echo "$now"
}

# outcome ARG…: of kubectl: admitted, denied or undecided; whether it warned, of
# an exception; the reason; and whether what it said took more than one line.
outcome() {
	local status=0 said=admitted
	command kubectl "$@" >"$home/said" 2>&1 || status=$?
	[ "$status" = 0 ] || said=denied
	if grep -q 'denied the request: undecided: ' "$home/said"; then said=undecided; fi
	if grep -q ^Warning: "$home/said"; then said+=" warned"; fi
	if grep -q ' of sre@example.com until ' "$home/said"; then said+=" exception"; fi
	echo "$said$(grep -o '\[[a-z-]*\]' "$home/said" | sort -u | tr -d '[]' | sed 's/^/ /' | tr -d '\n')$([ "$status" = 0 ] || [ "$(wc -l <"$home/said")" = 1 ] || echo " in $(wc -l <"$home/said") lines")"
}

# try CASE WANTED ARG…: what somebody does with kubectl.
try() {
	local became
	echo
	echo "== $1"
	show kubectl "${@:3}"
	became=$(outcome "${@:3}")
	cat "$home/said"
	expect "$1" "$2" "$became"
}

# short leaves the registry out, and most of a digest.
short() { sed "s|$REGISTRY/||g; s|\(sha256:[0-9a-f]\{8\}\)[0-9a-f]*|\1...|g"; }

# running NAMESPACE LABEL: how many Pods there are, and how many are named by a digest.
running() {
	quiet get pods -n "$1" -l "$2" -o 'jsonpath={range .items[*]}{.spec.containers[0].image}{"\n"}{end}' | awk '/@sha256:/ {pinned++} END {printf "%d pods, %d pinned\n", NR, pinned}'
}

start shop/api:good shop/api:unsigned shop/api:stage-missing shop/api:revoked shop/api:untrusted shop/proxy:v1 platform/shuind:v1
echo "== Five images, and what they passed"
five_images

echo
echo "== A cluster where something runs already that nobody sealed"
kubectl create namespace shop
kubectl create namespace trial
kubectl apply -f policyreports.yaml
kubectl create deployment old -n shop --image "$REGISTRY/shop/api:unsigned"
expect "before the gate: unsigned" "1 pods, 0 pinned" "$(becomes 30 "1 pods, 0 pinned" running shop app=old)"

echo
echo "== The gate is installed"
shuin cert add --type signingAuthority --store shop-signer "$home/signer/ca/root.pem"
shuin k8s install --apply --policy pipeline.yaml --values values.yaml --timeout 2m >"$home/install.log" 2>&1 &
installing=$!
run_gate
wait "$installing" || fail "it was not installed: $(cat "$home/install.log")"
cat "$home/install.log"
shuin k8s status || true # what its Pods say of themselves cannot be asked here: they are said to run
expect "what is installed decides" "denied unsigned" "$(becomes 30 "denied unsigned" outcome run trial -n shop --dry-run=server --image "$REGISTRY/shop/api:unsigned")"

try "good: passed all three stages" "admitted" run good -n shop --image "$REGISTRY/shop/api:good"
good=$(image shop/api:good)
expect "good: its digest is in the Pod" "$(short <<<"$good")" "$(kubectl get pod good -n shop -o 'jsonpath={.spec.containers[0].image}' | short)"
expect "good: what was written stays, for people" '{"containers/good":"shop/api:good"}' "$(kubectl get pod good -n shop -o 'jsonpath={.metadata.annotations.shuin\.dev/images}' | short)"
for name in unsigned stage-missing untrusted revoked; do
	case $name in
	unsigned) what="unsigned" ;;
	stage-missing) what="scan is missing" ;;
	untrusted) what="signed by somebody else" ;;
	revoked) what="the seal of the scan is revoked" ;;
	esac
	try "$what" "denied $name" run "$name" -n shop --image "$REGISTRY/shop/api:$name"
done
try "good, beside a proxy that is unsigned" "denied unsigned" apply -f beside.yaml
try "an image of somebody else's" "denied no-applicable-policy" run other -n shop --image nginx

try "a Deployment of the good one" "admitted" apply -f deployment.yaml
expect "the Deployment stays as it is written" shop/api:good "$(kubectl get deployment web -n shop -o 'jsonpath={.spec.template.spec.containers[0].image}' | short)"
expect "its Pods are pinned" "2 pods, 2 pinned" "$(becomes 30 "2 pods, 2 pinned" running shop app=web)"
try "a Deployment of the unsigned one: kubectl says no" "denied unsigned" set image deployment/web -n shop "api=$REGISTRY/shop/api:unsigned"
try "scaling is nobody's question" "admitted" scale deployment/old -n shop --replicas 3
refused() { quiet get events -n shop --field-selector reason=FailedCreate -o 'jsonpath={range .items[*]}{.involvedObject.kind} {.message}{"\n"}{end}' | sed -n 's/^\([A-Za-z]*\) .*\[\([a-z-]*\)\].*/\1 \2/p' | sort -u; }
expect "but the Pods that it makes are judged: an event says so" "ReplicaSet unsigned" "$(becomes 30 "ReplicaSet unsigned" refused)"
kubectl get events -n shop --field-selector reason=FailedCreate -o 'custom-columns=KIND:.involvedObject.kind,MESSAGE:.message' | head -n 2
expect "what ran goes on" "1 pods, 0 pinned" "$(running shop app=old)"
kubectl scale deployment/old -n shop --replicas 1
try "unsigned, where the rule warns" "admitted warned unsigned" run warned -n trial --image "$REGISTRY/shop/api:unsigned"

echo
echo "== The registry is away: what is known goes on, and what is not known is not called unsigned"
kubectl set image deployment/web -n shop "api=$good" # a Deployment that names its digest, as a pipeline writes it
kubectl rollout status deployment/web -n shop --timeout 60s
registry away
try "new here, while nobody can look" "undecided registry-unavailable" run new -n shop --image "$REGISTRY/shop/proxy:v1"
kubectl delete pod -n shop -l app=web
expect "Pods that are made again" "2 pods, 2 pinned" "$(becomes 30 "2 pods, 2 pinned" running shop app=web)"
registry back

echo
echo "== Break-glass"
try "an exception, by somebody who may not write one" "denied" create --as alice -f exception.yaml
kubectl create rolebinding oncall -n shop --clusterrole shuin-gate-break-glass --user alice
end=$(date -u -d '20 seconds' +%FT%TZ)
sed -i "s|@IMAGE@|$(image shop/api:unsigned)|; s|@EXPIRES@|$end|" exception.yaml
try "an exception, by who is on call" "admitted" create --as alice -f exception.yaml
hotfix=(run hotfix -n shop --image "$REGISTRY/shop/api:unsigned")
expect "it is in force" "admitted warned exception" "$(becomes 15 "admitted warned exception" outcome "${hotfix[@]}" --dry-run=server)"
try "unsigned, while the exception lasts" "admitted warned exception" "${hotfix[@]}"
echo "# It ends at $end."
hotfix[1]=late
expect "unsigned, when it has ended" "denied unsigned" "$(becomes 40 "denied unsigned" outcome "${hotfix[@]}" --dry-run=server)"
standing() { quiet get policyexception inc-4711 -n shop --no-headers | awk '{print $2, $4}'; }
expect "the exception says so" "Expired $end" "$(becomes 30 "Expired $end" standing)"
kubectl get policyexceptions -n shop

echo
echo "== What runs, and would not be let in"
swept() { quiet get policyreport shuin -n "$1" -o 'jsonpath={.summary.pass} pass, {.summary.fail} fail, {.summary.warn} warn' 2>"$home/none"; }
expect "the sweep's report of shop" "2 pass, 2 fail, 0 warn" "$(becomes 90 "2 pass, 2 fail, 0 warn" swept shop)"
expect "the sweep's report of trial" "0 pass, 0 fail, 1 warn" "$(becomes 90 "0 pass, 0 fail, 1 warn" swept trial)"
kubectl get policyreport shuin -n shop -o 'jsonpath={range .results[*]}{.result}{"\t"}{.resources[0].kind}/{.resources[0].name}{"\t"}{.message}{"\n"}{end}'

echo
echo "== Who may change webhook configurations may not change these"
kubectl create clusterrole webhooks --verb get,delete --resource validatingwebhookconfigurations
kubectl create clusterrolebinding webhooks --clusterrole webhooks --user bob
try "bob deletes what has the API server ask the gate" "denied" delete validatingwebhookconfiguration shuin-gate --as bob

echo
echo "== The gate is removed: first what has the API server ask it"
shuin k8s uninstall --yes
expect "unsigned, without a gate" "admitted" "$(becomes 15 admitted outcome run free -n shop --image "$REGISTRY/shop/api:unsigned")"
left() { quiet get mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicies,deployments,services,secrets,configmaps,clusterroles -A -l app.kubernetes.io/name=shuin-gate -o name 2>&1; }
expect "objects of the gate that are left" nothing "$(short <<<"$(left)" | grep . || echo nothing)"
table
