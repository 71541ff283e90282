#!/usr/bin/env bash
# Every task that starts is looked at, whoever started it: ECS reports its
# state, EventBridge puts that into a queue, and the function checks every
# container, tells a topic, and stops what a rule that enforces denies. Each
# case is a task; the table says what was decided of each container, what was
# told how loudly, and what became of the task.
set -euo pipefail
. "$(dirname "$0")/../aws.sh"

# changed TASK STATUS VERSION: ECS's event of a task's change.
declare -A definition cluster group containers
changed() {
	event aws.ecs "ECS Task State Change" "$(sed "s|@TASK@|$1|; s|@CLUSTER@|${cluster[$1]}|; s|@TASK_DEFINITION@|${definition[$1]}|; s|@GROUP@|${group[$1]}|
		s|@CONTAINERS@|${containers[$1]}|; s|@STATUS@|$2|; s|@VERSION@|$3|; s|@TIME@|$(date -u +%Y-%m-%dT%H:%M:%SZ)|" "$here/event.json")"
}

# run CLUSTER FAMILY COUNT WHAT WANTED CONTAINERS: starts tasks, which ECS
# reports when they are provisioned, before their images are pulled.
tasks=() names=() wants=()
run() {
	local arn task ran
	arn=$(aws ecs register-task-definition --family "$2" --network-mode awsvpc --requires-compatibilities FARGATE --cpu 256 --memory 512 \
		--container-definitions "$6" --query taskDefinition.taskDefinitionArn --output text)
	ran=$(aws ecs run-task --cluster "$1" --task-definition "$arn" --launch-type FARGATE --count "$3" \
		--network-configuration "awsvpcConfiguration={subnets=[$subnet],securityGroups=[$security]}" --query 'tasks[].taskArn' --output text)
	for task in $ran; do
		definition[$task]=$arn cluster[$task]=$1 group[$task]=family:$2 containers[$task]=$6
		tasks+=("$task") names+=("$4") wants+=("$5")
		changed "$task" PROVISIONING 1
	done
}

start shop/api:good shop/api:unsigned shop/api:stage-missing shop/api:revoked shop/api:untrusted shop/proxy:v1
echo "== Five images, and what they passed"
five_images

echo
echo "== The rule, the queue, the function, the topic; and two clusters"
wire
for name in prod staging; do aws ecs create-cluster --cluster-name "$name" --query cluster.clusterArn --output text; done
subnet=$(aws ec2 describe-subnets --query 'Subnets[0].SubnetId' --output text)
security=$(aws ec2 describe-security-groups --query 'SecurityGroups[0].GroupId' --output text)

echo
echo "== Tasks, and the events that ECS makes of them"
run prod good 1 "good: passed all three stages" "api=admit told= RUNNING" "$(list "$(container api "$(image shop/api:good)")")"
good=${tasks[0]}
run prod tag 1 "good, and named by its tag" "api=admit told= RUNNING" "$(list "$(container api "$REGISTRY/shop/api:good")")"
run prod unsigned 1 "unsigned" "api=unsigned told=high STOPPED" "$(list "$(container api "$(image shop/api:unsigned)")")"
unsigned=${tasks[2]}
run prod missing 1 "scan is missing" "api=stage-missing told=high STOPPED" "$(list "$(container api "$(image shop/api:stage-missing)")")"
run prod revoked 1 "the seal of the scan is revoked" "api=revoked told=high STOPPED" "$(list "$(container api "$(image shop/api:revoked)")")"
run prod untrusted 1 "signed by somebody else" "api=untrusted told=high STOPPED" "$(list "$(container api "$(image shop/api:untrusted)")")"
run prod beside 1 "good, beside a proxy that is unsigned" "api=admit proxy=unsigned told=high STOPPED" \
	"$(list "$(container api "$(image shop/api:good)")" "$(container proxy "$(image shop/proxy:v1)")")"
run staging warned 1 "unsigned, where the rule warns" "api=unsigned told=medium RUNNING" "$(list "$(container api "$(image shop/api:unsigned)")")"
many=${#tasks[@]}
run prod many 3 "three tasks of one family, unsigned" "api=unsigned STOPPED" "$(list "$(container api "$(image shop/api:unsigned)")")"
put
settled

echo
echo "== The same tasks run: later events, a duplicate, and one that was overtaken"
digest=$(image shop/api:good)
containers[$good]=$(sed "s|\"name\"|\"imageDigest\": \"${digest#*@}\", &|" <<<"${containers[$good]}")
changed "$good" RUNNING 4
changed "$good" RUNNING 4
changed "$good" PROVISIONING 1
put
settled

echo
echo "== Somebody pulls the switch: nothing is stopped any more, and all is told"
aws dynamodb put-item --table-name shuin --item '{"id": {"S": "reactions-off"}, "because": {"S": "incident 4711"}}'
run prod switched 1 "unsigned, while reactions are off" "api=unsigned told=high RUNNING" "$(list "$(container api "$(image shop/api:unsigned)")")"
put
settled

echo
echo "== What became of them"
findings
for name in prod staging; do
	mine=()
	for task in "${tasks[@]}"; do [ "${cluster[$task]}" != "$name" ] || mine+=("$task"); done
	aws ecs describe-tasks --cluster "$name" --tasks "${mine[@]}" --query 'tasks[].[taskArn, desiredStatus, stoppedReason]' --output text
done >"$home/tasks"
all=0
for i in "${!tasks[@]}"; do
	task=${tasks[i]}
	said=$(decisions | grep -F "$task " | cut -d ' ' -f 3- | sort -u) || true
	told=$(grep -F "$task " "$home/findings" | cut -d ' ' -f 4 | sort | paste -sd ,) || true
	state=$(awk -v task="$task" '$1 == task {print $2}' "$home/tasks")
	if [[ ${names[i]} == three* ]]; then
		all=$((all + $(grep -cF "$task " "$home/findings" || true)))
		expect "${names[i]} ($((i - many + 1)))" "${wants[i]}" "${said//$'\n'/ AND } $state"
		continue
	fi
	expect "${names[i]}" "${wants[i]}" "${said//$'\n'/ AND } told=$told $state"
done
expect "findings about those three" 1 "$all"
expect "decisions about the good one" 2 "$(decisions | grep -cF "$good ")"
echo "$(awk -F '\t' -v task="$unsigned" '$1 == task {print "# why one was stopped: " $3}' "$home/tasks")"
permitted "events --queue arn:aws:sqs:ap-northeast-1:$ACCOUNT:shuin --table arn:aws:dynamodb:ap-northeast-1:$ACCOUNT:table/shuin --topic arn:aws:sns:ap-northeast-1:$ACCOUNT:shuin" stop
table
