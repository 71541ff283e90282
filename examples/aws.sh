# shellcheck shell=bash
# aws.sh is what the examples on AWS share; each run.sh sources it. They need no
# account: moto_server stands for AWS, `shuind dev` for AWS Signer, a registry
# of our own for ECR, and the function runs as AWS Lambda runs one (test/aws).
# All of it listens on loopback only, writes into a temporary directory that is
# removed, and ends with the script.
#
#   SHUIN=/path/to/shuin SHUIND=/path/to/shuind   use those programs, and not this repository's
#   KEEP=1                                        leave the directory, with the logs in it
#
# Needed: Go, python3, and the AWS CLI; moto_server and a newer AWS CLI are
# installed into bin/trial where PATH has none.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$(cd "$(dirname "$0")" && pwd)
home=$(mktemp -d)
cloud=

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

cleanup() {
	status=$?
	trap - EXIT
	if [ "$status" != 0 ] && [ -s "$home/function.log" ]; then
		echo "the end of the function's log:" >&2
		tail -n 5 "$home/function.log" | cut -c 1-500 >&2
	fi
	if [ -n "$cloud" ]; then
		kill "$cloud" 2>/dev/null || true
		wait "$cloud" 2>/dev/null || true
	fi
	if [ -n "${KEEP:-}" ]; then echo "left: $home"; else rm -rf "$home"; fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start REPOSITORY:TAG…: everything runs, with these images in the registry,
# and the files of the example are in the function's package.
start() {
	local name images=()
	for name in "$@"; do images+=(--image "$name"); done
	[ -n "${BUILT:-}" ] || "$root/examples/build.sh" >&2 || fail "build.sh"
	SHUIN=${SHUIN:-$root/bin/trial/shuin} SHUIND=${SHUIND:-$root/bin/trial/shuind}

	# An empty home: nothing of the caller's configuration or credentials is used.
	unset XDG_CONFIG_HOME XDG_CACHE_HOME NOTATION_CONFIG NOTATION_CACHE NOTATION_LIBEXEC NOTATION_USERNAME NOTATION_PASSWORD
	local mine=$HOME # where pip is configured, if it has to install something
	export HOME=$home DOCKER_CONFIG=$home/docker
	HOME=$mine "$root/bin/trial/cloud" --dir "$home" --function "$root/bin/trial/bootstrap" --shuind "$SHUIND" --tools "$root/bin/trial/venv" "${images[@]}" >"$home/cloud.log" 2>&1 &
	cloud=$!
	until [ -e "$home/env.sh" ]; do
		kill -0 "$cloud" 2>/dev/null || fail "it did not start: $(cat "$home/cloud.log")"
		sleep 0.1
	done
	# shellcheck source=/dev/null
	. "$home/env.sh"

	mkdir -p "$home/package/notation/truststore/x509/signingAuthority/shop-signer"
	cp "$home/signer/ca/root.pem" "$home/package/notation/truststore/x509/signingAuthority/shop-signer/root.pem"
	for name in "$here"/*.yaml; do
		sed "s/localhost:5000/$REGISTRY/g" "$name" >"$home/package/$(basename "$name")"
	done
	: >"$home/findings"
	cd "$home/package"
}

# shuin and aws show each call before they make it.
exec 3>&1
show() {
	local word line='$'
	for word in "$@"; do
		case $word in *[!a-zA-Z0-9_./:=@%+,-]*) word="'$word'" ;; esac
		line+=" $word"
	done
	echo "$line" >&3
}
shuin() {
	show shuin "$@"
	"$SHUIN" "$@"
}
aws() {
	show aws "$@"
	local more=()
	if [ "$1" = sqs ]; then more=(--endpoint-url "$AWS_ENDPOINT_URL"); fi # an older CLI asks queues at an address of its own
	command aws "$@" "${more[@]}"
}

# decisions are the function's, in the order it made them: SUBJECT EVENT and
# what it says of each container, CONTAINER=admit or CONTAINER=REASON.
decisions() { "$root/bin/trial/cloud" decisions <"$home/function.log"; }

# registry away|back: it answers nobody; it answers again.
registry() {
	echo "# the registry is $1" >&3
	curl -fsS -X POST "$AWS_ENDPOINT_URL/trial/registry/$1"
}

# moved TAG OTHER: the tag names what the other does as soon as the next tasks of a
# service start (REPOSITORY:TAG each).
moved() {
	echo "# $1 is moved to what $2 names, when tasks start" >&3
	curl -fsS -X POST "$AWS_ENDPOINT_URL/trial/moved?tag=$1&to=$2"
}

# image REPOSITORY:TAG is that image by its digest.
image() {
	local digest
	digest=$(awk -v name="$1" '$1 == name {print $2}' "$home/images")
	[ -n "$digest" ] || fail "no image $1"
	echo "$REGISTRY/${1%%:*}@$digest"
}

# profiles NAME…: a signing profile for each stage.
profiles() {
	local name
	for name in "$@"; do
		aws signer put-signing-profile --profile-name "$name" --platform-id Notation-OCI-SHA384-ECDSA --query profileVersion --output text >/dev/null
	done
}

# seal IMAGE STAGE…: each with the profile that pipeline.yaml names.
seal() {
	local name=$1 stage
	shift
	for stage in "$@"; do shuin seal --stage "$stage" --policy pipeline.yaml "$name" >/dev/null; done
}

# five_images makes the images of the examples what their tags say.
five_images() {
	local stage job
	profiles build unit_test scan other_team
	seal "$(image shop/api:good)" build unit-test scan
	seal "$(image shop/api:stage-missing)" build unit-test
	echo "# One seal is taken back: the runner that scanned was broken into."
	seal "$(image shop/api:revoked)" build unit-test scan
	job=$(aws signer list-signing-jobs --query 'jobs[0].jobId' --output text)
	aws signer revoke-signature --job-id "$job" --reason "the runner that scanned was broken into"
	echo "# Another team signs with its own profile, of the same signer."
	for stage in build unit-test scan; do
		shuin seal --stage "$stage" --profile "arn:aws:signer:ap-northeast-1:$ACCOUNT:/signing-profiles/other_team" "$(image shop/api:untrusted)" >/dev/null
	done
}

# container NAME IMAGE: one of a task definition.
container() { echo "{\"name\": \"$1\", \"image\": \"$2\", \"memory\": 128}"; }

# list CONTAINER…: containerDefinitions.
list() {
	local IFS=,
	echo "[$*]"
}

# wire makes what the deploy kit makes (deploy/aws): a queue with dead letters
# that the rule of rule.json fills and the function empties, a table, a topic;
# and a queue, inbox, that hears what the topic says.
wire() {
	local arn="arn:aws:sqs:ap-northeast-1:$ACCOUNT" name topic
	for name in shuin-dead inbox; do aws sqs create-queue --queue-name "$name" --query QueueUrl --output text; done
	aws sqs create-queue --queue-name shuin --query QueueUrl --output text \
		--attributes "{\"VisibilityTimeout\": \"2\", \"RedrivePolicy\": \"{\\\"deadLetterTargetArn\\\": \\\"$arn:shuin-dead\\\", \\\"maxReceiveCount\\\": \\\"3\\\"}\"}"
	aws dynamodb create-table --table-name shuin --billing-mode PAY_PER_REQUEST --attribute-definitions AttributeName=id,AttributeType=S \
		--key-schema AttributeName=id,KeyType=HASH --query TableDescription.TableStatus --output text
	topic=$(aws sns create-topic --name shuin --query TopicArn --output text)
	aws sns subscribe --topic-arn "$topic" --protocol sqs --notification-endpoint "$arn:inbox" --attributes RawMessageDelivery=true --output text
	aws events put-rule --name shuin --event-pattern "file://$here/rule.json" --query RuleArn --output text
	aws events put-targets --rule shuin --targets "Id=queue,Arn=$arn:shuin" --query FailedEntryCount --output text
	aws lambda create-event-source-mapping --function-name shuin --event-source-arn "$arn:shuin" --batch-size 10 \
		--function-response-types ReportBatchItemFailures --query State --output text
}

# event SOURCE DETAIL-TYPE DETAIL: keeps an event to put. moto's services emit
# none of their own.
events=()
event() {
	local detail
	detail=$(tr -d '\n\t' <<<"$3" | sed 's/\\/\\\\/g; s/"/\\"/g')
	events+=("{\"Source\": \"$1\", \"DetailType\": \"$2\", \"Detail\": \"$detail\"}")
}

# put puts all events that were kept, ten at a time as EventBridge takes them.
put() {
	local i
	for ((i = 0; i < ${#events[@]}; i += 10)); do
		list "${events[@]:i:10}" >"$home/entries.json"
		aws events put-events --entries "file://$home/entries.json" --query FailedEntryCount --output text
	done
	events=()
}

# messages QUEUE: how many are in it, handed out or not.
messages() {
	command aws sqs get-queue-attributes --endpoint-url "$AWS_ENDPOINT_URL" --queue-url "$AWS_ENDPOINT_URL/$ACCOUNT/$1" --output text \
		--attribute-names ApproximateNumberOfMessages ApproximateNumberOfMessagesNotVisible --query 'Attributes.[ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible]' |
		awk '{print $1 + $2}'
}

# settled waits until the function has done with every message.
settled() {
	local _
	for _ in $(seq 120); do
		if [ "$(messages shuin)" = 0 ]; then return; fi
		sleep 0.2
	done
	fail "messages are left in the queue"
}

# findings takes what the topic has said from the inbox, and adds it to the file
# findings: SUBJECT CONTAINER REASON SEVERITY STATUS.
findings() {
	local url=$AWS_ENDPOINT_URL/$ACCOUNT/inbox
	while [ "$(messages inbox)" != 0 ]; do
		aws sqs receive-message --queue-url "$url" --max-number-of-messages 10 --visibility-timeout 600 --output json >"$home/received.json"
		"$root/bin/trial/cloud" findings <"$home/received.json" >>"$home/findings"
		"$root/bin/trial/cloud" receipts <"$home/received.json" >"$home/receipts.json"
		aws sqs delete-message-batch --queue-url "$url" --entries "file://$home/receipts.json" --query 'length(Successful)' --output text
	done
}

# expect CASE WANTED GOT: a line of the table; both are said in the end.
cases=() wanted=() got=()
expect() {
	cases+=("$1") wanted+=("$2") got+=("$3")
}

# permitted 'PURPOSE [FLAG]…'…: every call of AWS that the function made is one
# that `shuin aws iam-policy --for PURPOSE` allows.
permitted() {
	local purpose action count missing=
	for purpose in "$@"; do
		# shellcheck disable=SC2086
		"$SHUIN" aws iam-policy --for $purpose
	done >"$home/iam.json"
	while read -r action; do
		grep -q "\"$action\"" "$home/iam.json" || missing+=" $action"
	done <"$home/calls"
	count=$(wc -l <"$home/calls")
	((count > 0)) || fail "no call of AWS by the function was noted"
	expect "calls that the printed roles do not allow" "none of $count" "${missing:-none of $count}"
}

# table prints all lines, and fails if one is not as expected.
table() {
	local i mark wrong=0 one=4 two=8
	for i in "${!cases[@]}"; do
		((${#cases[i]} <= one)) || one=${#cases[i]}
		((${#wanted[i]} <= two)) || two=${#wanted[i]}
	done
	echo
	printf "  %-${one}s  %-${two}s  %s\n" CASE EXPECTED GOT
	for i in "${!cases[@]}"; do
		mark='  '
		if [ "${wanted[i]}" != "${got[i]}" ]; then mark='✗ ' wrong=$((wrong + 1)); fi
		printf "%s%-${one}s  %-${two}s  %s\n" "$mark" "${cases[i]}" "${wanted[i]}" "${got[i]}"
	done
	echo
	[ "$wrong" = 0 ] || fail "$wrong of ${#cases[@]} cases are not as expected"
	echo "All ${#cases[@]} as they should be."
}
