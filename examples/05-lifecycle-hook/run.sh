#!/usr/bin/env bash
# A lifecycle hook that blocks: ECS asks the function before it starts a new
# revision of a service, and again before traffic goes to it. Each case is a
# deployment of one service; the table says how it ended, and why.
set -euo pipefail
. "$(dirname "$0")/../aws.sh"

# register CONTAINER…: the ARN of a new revision of the task definition.
register() {
	aws ecs register-task-definition --family shop --container-definitions "$(list "$@")" --query taskDefinition.taskDefinitionArn --output text
}

# newest MEMBER…: of the service's newest deployment.
newest() {
	command aws ecs list-service-deployments --cluster prod --service shop --query "serviceDeployments[0].[$*]" --output text
}

# ended: how the newest deployment ended, at which stage if it was rolled back,
# and what the function said last of each container.
ended() {
	local _ line
	for _ in $(seq 100); do
		line=$(newest status,statusReason)
		[[ $line == IN_PROGRESS* ]] || break
	done
	echo "$line" >&3
	case $line in
	*" at "*) line="${line%%[[:space:]]*} $(sed 's/.* at \([A-Z_]*\):.*/\1/' <<<"$line")" ;;
	*) line=${line%%[[:space:]]*} ;;
	esac
	echo "$line $(decisions | tail -n 1 | cut -d ' ' -f 3-)"
}

# begin CASE CONTAINER…: a deployment begins.
begin() {
	local arn
	echo
	echo "== $1"
	arn=$(register "${@:2}")
	aws ecs update-service --cluster prod --service shop --task-definition "$arn" --query service.taskDefinition --output text
}

# deploy CASE WANTED CONTAINER…
deploy() {
	begin "$1" "${@:3}"
	expect "$1" "$2" "$(ended)"
}

# answered STATUS BYTES: waits until the function has answered so, after as many
# bytes of its log.
answered() {
	local _
	for _ in $(seq 300); do
		if tail -c "+$2" "$home/function.log" | grep '"msg":"a deployment is answered"' | grep "\"answer\":\"$1\"" >/dev/null; then return; fi
		sleep 0.1
	done
	fail "the function did not answer $1"
}

start shop/api:good shop/api:next shop/api:unsigned shop/api:stage-missing shop/api:revoked shop/api:untrusted shop/proxy:v1 shop/edge:v1 shop/edge:other
echo "== Five images, and what they passed"
five_images
for name in shop/api:next shop/edge:v1; do seal "$(image "$name")" build unit-test scan; done

echo
echo "== A service that names the function as its hook"
aws ecs create-cluster --cluster-name prod --query cluster.clusterArn --output text
hook="{\"hookTargetArn\": \"$FUNCTION_ARN\", \"roleArn\": \"arn:aws:iam::$ACCOUNT:role/shuin-hook\", \"lifecycleStages\": [\"PRE_SCALE_UP\", \"POST_SCALE_UP\"]}"
good=$(register "$(container api "$(image shop/api:good)")")
aws ecs create-service --cluster prod --service-name shop --task-definition "$good" --desired-count 2 --launch-type FARGATE \
	--deployment-configuration "{\"strategy\": \"BLUE_GREEN\", \"lifecycleHooks\": [$hook]}" --query service.serviceArn --output text
expect "good: passed all three stages" "SUCCESSFUL api=admit" "$(ended)"

rolled=ROLLBACK_SUCCESSFUL
deploy "unsigned" "$rolled PRE_SCALE_UP api=unsigned" "$(container api "$(image shop/api:unsigned)")"
read -r deployment service revision <<<"$(newest serviceDeploymentArn,serviceArn,targetServiceRevisionArn)"
deploy "scan is missing" "$rolled PRE_SCALE_UP api=stage-missing" "$(container api "$(image shop/api:stage-missing)")"
deploy "the seal of the scan is revoked" "$rolled PRE_SCALE_UP api=revoked" "$(container api "$(image shop/api:revoked)")"
deploy "signed by somebody else" "$rolled PRE_SCALE_UP api=untrusted" "$(container api "$(image shop/api:untrusted)")"
deploy "good, beside a proxy that is unsigned" "$rolled PRE_SCALE_UP api=admit proxy=unsigned" \
	"$(container api "$(image shop/api:good)")" "$(container proxy "$(image shop/proxy:v1)")"
deploy "good, but named by its tag" "$rolled PRE_SCALE_UP api=tag-refused" "$(container api "$REGISTRY/shop/api:good")"

# A rule may let a tag in. Then the hook before traffic asks what was started.
deploy "a tag, where the rule allows it" "SUCCESSFUL edge=admit" "$(container edge "$REGISTRY/shop/edge:v1")"
moved shop/edge:v1 shop/edge:other
deploy "the same, moved before its tasks started" "$rolled POST_SCALE_UP edge=unsigned" "$(container edge "$REGISTRY/shop/edge:v1")"

# Could not check is not bad: the function asks ECS to call again.
registry away
deploy "the registry does not answer, and stays away" "$rolled PRE_SCALE_UP api=undecided:registry-unavailable" "$(container api "$(image shop/api:next)")"
before=$(wc -c <"$home/function.log")
begin "the registry is away for a moment" "$(container api "$(image shop/api:next)")"
answered IN_PROGRESS "$before"
registry back
expect "the registry is away for a moment" "SUCCESSFUL api=admit" "$(ended)"

echo
echo "== Traffic goes back from the revision that is unsigned: a rollback is never failed"
sed "s|@DEPLOYMENT@|$deployment|; s|@SERVICE@|$service|; s|@REVISION@|$revision|g; s|@OLDER@|${revision%?}0|" "$here/rollback.json" >"$home/event.json"
aws lambda invoke --function-name shuin --payload "fileb://$home/event.json" "$home/answer.json" --query FunctionError --output text
expect "a rollback" '{"hookStatus":"SUCCEEDED"}' "$(cat "$home/answer.json")"

echo
echo "== What the service runs now: each deployment that was refused went back"
running=$(aws ecs describe-services --cluster prod --services shop --query 'services[0].taskDefinition' --output text)
expect "the service runs" "shop:11" "${running##*/}"
permitted hook
table
