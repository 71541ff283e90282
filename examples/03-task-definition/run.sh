#!/usr/bin/env bash
# Whoever registers a task definition is told what is wrong with it: CloudTrail
# reports the call, EventBridge puts it into a queue, and the function checks
# every container, tells a topic, and makes inactive what is denied. Each case
# is a task definition; the table says what was decided of each container, how
# many findings were sent, and what state the task definition is in.
set -euo pipefail
. "$(dirname "$0")/../aws.sh"

# reported FAMILY CONTAINERS ARN [SED…]: CloudTrail's event of that call.
n=0
reported() {
	n=$((n + 1))
	event aws.ecs "AWS API Call via CloudTrail" "$(sed "s|@FAMILY@|$1|g; s|@CONTAINERS@|$2|g; s|@TASK_DEFINITION@|$3|g
		s|@TIME@|$(date -u +%Y-%m-%dT%H:%M:%SZ)|; s|@ID@|$(printf 'bbbbbbbb-0000-4000-8000-%012d' "$n")|; ${4:-}" "$here/event.json")"
}

# register FAMILY WHAT WANTED CONTAINERS [SED…]: registers it, and keeps the event.
families=() names=() wants=() arns=()
register() {
	local arn
	arn=$(aws ecs register-task-definition --family "$1" --container-definitions "$4" --query taskDefinition.taskDefinitionArn --output text)
	families+=("$1") names+=("$2") wants+=("$3") arns+=("$arn")
	reported "$1" "$4" "$arn" "${5:-}"
}

start shop/api:good shop/api:unsigned shop/api:stage-missing shop/api:revoked shop/api:untrusted shop/proxy:v1
echo "== Five images, and what they passed"
five_images

echo
echo "== The rule, the queue, the function, the topic"
wire

echo
echo "== Task definitions, and the events that CloudTrail makes of them"
register good "passed all three stages" "api=admit findings=0 ACTIVE" "$(list "$(container api "$(image shop/api:good)")")"
register unsigned "unsigned" "api=unsigned findings=1 INACTIVE" "$(list "$(container api "$(image shop/api:unsigned)")")"
reported unsigned "$(list "$(container api "$(image shop/api:unsigned)")")" "${arns[1]}" # EventBridge delivers at least once
register stage-missing "scan is missing" "api=stage-missing findings=1 INACTIVE" "$(list "$(container api "$(image shop/api:stage-missing)")")"
register revoked "the seal of the scan is revoked" "api=revoked findings=1 INACTIVE" "$(list "$(container api "$(image shop/api:revoked)")")"
register untrusted "signed by somebody else" "api=untrusted findings=1 INACTIVE" "$(list "$(container api "$(image shop/api:untrusted)")")"
register three "good, beside two that are not" "api=admit proxy=unsigned batch=stage-missing findings=2 INACTIVE" \
	"$(list "$(container api "$(image shop/api:good)")" "$(container proxy "$(image shop/proxy:v1)")" "$(container batch "$(image shop/api:stage-missing)")")"
register large "too large for CloudTrail, which does not say what was registered" " findings=0 ACTIVE" "$(list "$(container api "$(image shop/api:unsigned)")")" \
	's|"requestParameters": .*|"requestParameters": {"family": "large", "omitted": true},|; s|"responseElements": .*|"responseElements": {"omitted": true},|'
reported refused "$(list "$(container api "$(image shop/api:unsigned)")")" none 's|"responseElements": .*|"responseElements": null, "errorCode": "AccessDenied",|'
event aws.ecs "AWS API Call via CloudTrail" '{"eventSource": "ecs.amazonaws.com", "eventName": "RegisterTaskDefinition", "eventVersion": "9"}'
put

echo
echo "== What became of them"
settled
findings
active=$(aws ecs list-task-definitions --status ACTIVE --query taskDefinitionArns --output text)
for i in "${!arns[@]}"; do
	state=INACTIVE
	if [[ " ${active//$'\t'/ } " == *" ${arns[i]} "* ]]; then state=ACTIVE; fi
	said=$(decisions | grep -F -e "${arns[i]} " -e "${arns[i]%:*} " | cut -d ' ' -f 3-) || true
	expect "${families[i]}: ${names[i]}" "${wants[i]}" "${said//$'\n'/ AND } findings=$(grep -cF "${arns[i]} " "$home/findings") $state"
done
expect "a call that AWS refused is nobody's finding" 0 "$(grep -cF refused "$home/findings")"
expect "what cannot be read is kept: dead letters" 2 "$(messages shuin-dead)"
permitted "events --queue arn:aws:sqs:ap-northeast-1:$ACCOUNT:shuin --table arn:aws:dynamodb:ap-northeast-1:$ACCOUNT:table/shuin --topic arn:aws:sns:ap-northeast-1:$ACCOUNT:shuin" stop
table
