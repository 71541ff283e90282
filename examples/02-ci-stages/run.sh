#!/usr/bin/env bash
# A pipeline that builds, tests and scans before it pushes, and seals what it
# pushed, stage by stage, each with a signing profile of its own. Each case is
# an image that went through it, or around it; the table says what the deploy
# check (exit status and reason) made of it.
set -euo pipefail
. "$(dirname "$0")/../aws.sh"

# build TAG: an image, as a builder leaves it on this machine. Its ID is the
# digest of its configuration.
build() {
	local dir=$home/images.d/$1 layer
	mkdir -p "$dir"
	echo "shop $1" >"$dir/hello.txt"
	tar -C "$dir" -cf "$dir/layer" hello.txt
	layer=$(digest "$dir/layer")
	printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$layer" >"$dir/config"
	id=$(digest "$dir/config") evidence=$dir
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":%d}]}' \
		"$id" "$(wc -c <"$dir/config")" "$layer" "$(wc -c <"$dir/layer")" >"$dir/manifest"
}

digest() { echo "sha256:$(sha256sum "$1" | cut -d ' ' -f 1)"; }

# push TAG: what `docker push` does. The image is then $image, by its digest.
push() {
	local dir=$home/images.d/$1 blob where
	echo "# push $REGISTRY/shop/api:$1" >&3
	for blob in layer config; do
		where=$(curl -fsS -X POST -o "$home/answer" -w '%{redirect_url}%header{location}' "http://$REGISTRY/v2/shop/api/blobs/uploads/")
		[[ $where == http* ]] || where=http://$REGISTRY$where
		if [[ $where == *\?* ]]; then where+="&"; else where+="?"; fi
		curl -fsS -X PUT --data-binary "@$dir/$blob" -H 'Content-Type: application/octet-stream' "${where}digest=$(digest "$dir/$blob")"
	done
	curl -fsS -X PUT --data-binary "@$dir/manifest" -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' "http://$REGISTRY/v2/shop/api/manifests/$1"
	image=$REGISTRY/shop/api@$(digest "$dir/manifest")
}

# stage STAGE COMMAND: runs before the push. Evidence is left only if it succeeds.
stage() { shuin seal --record "$evidence/$1.json" --image-id "$id" --stage "$1" -- sh -c "$2"; }

# redeem STAGE…: after the push, each stage is sealed with its own
# profile: in a pipeline each in a job that may use that profile alone.
redeem() {
	local stage
	for stage in "$@"; do shuin seal --from "$evidence/$stage.json" --policy pipeline.yaml "$image"; done
}

# check CASE WANTED: the deploy check of what CodePipeline would deploy.
check() {
	local status=0 code
	printf '[{"name": "api", "imageUri": "%s"}]' "$image" >imagedefinitions.json
	shuin check --policy pipeline.yaml --cluster prod-1 imagedefinitions.json >"$home/said" 2>&1 || status=$?
	cat "$home/said"
	code=$(grep -o '\[[a-z-]*\]' "$home/said" | head -n 1 | tr -d '[]') || true
	expect "$1" "$2" "${status}${code:+ $code}"
}

start
shuin cert add --type signingAuthority --store shop-signer "$home/signer/ca/root.pem"
profiles build unit_test scan
echo
echo "== The policy: is it well made, and does it answer as we mean it?"
shuin policy lint pipeline.yaml
shuin policy test --policy pipeline.yaml pipeline-test.yaml

echo
echo "== Build, test, scan; then push; then the seals"
build good
stage build "echo built"
stage unit-test "echo 3 of 3 tests passed"
stage scan "echo nothing found"
push good
check "pushed, and not sealed yet" "1 unsigned"
redeem build unit-test
check "scan is missing" "1 stage-missing"
shuin seal --from "$evidence/scan.json" --policy pipeline.yaml --user-metadata critical=0 "$image"
check "all three" "0"
good=$image

echo
echo "== Tests that fail: their status is passed on, and there is nothing to redeem"
build failing
stage build "echo built"
status=0
stage unit-test "echo 2 of 3 tests passed; exit 7" || status=$?
expect "the tests fail: the pipeline's status" 7 "$status"
expect "the tests fail: evidence is left" no "$([ -e "$evidence/unit-test.json" ] && echo yes || echo no)"

echo
echo "== Somebody pushes it all the same, and redeems another image's evidence"
push failing
check "pushed around the pipeline" "1 unsigned"
status=0
shuin seal --from "$home/images.d/good/scan.json" --policy pipeline.yaml "$image" || status=$?
expect "another image's evidence: not redeemed" 1 "$status"
redeem build
check "without its tests" "1 stage-missing"

echo
echo "== A scan that found something is signed as such; a stage sealed with another stage's profile is none"
build found
for name in build unit-test scan; do stage "$name" "true"; done
push found
redeem build unit-test
shuin seal --from "$evidence/scan.json" --policy pipeline.yaml --user-metadata critical=2 "$image"
check "the scan found something critical" "1 metadata-mismatch"
build swapped
push swapped
for name in build unit-test; do shuin seal --stage "$name" --policy pipeline.yaml "$image"; done
shuin seal --stage scan --profile "arn:aws:signer:ap-northeast-1:$ACCOUNT:/signing-profiles/unit_test" --user-metadata critical=0 "$image"
check "scan sealed with the profile of the tests" "1 untrusted"

echo
echo "== The runner that scanned was broken into: the seal is taken back"
build revoked
push revoked
for name in build unit-test; do shuin seal --stage "$name" --policy pipeline.yaml "$image"; done
shuin seal --stage scan --policy pipeline.yaml --user-metadata critical=0 "$image"
job=$(aws signer list-signing-jobs --query 'jobs[0].jobId' --output text)
aws signer revoke-signature --job-id "$job" --reason "the runner that scanned was broken into"
check "the seal of the scan is revoked" "1 revoked"

echo
echo "== Somebody who can push signs with a key of their own"
build untrusted
push untrusted
shuin cert generate-test stranger.example >/dev/null
for name in build unit-test scan; do shuin seal --stage "$name" --key stranger.example "$image"; done
check "signed by somebody else" "1 untrusted"

echo
echo "== Which pushed images passed which stages?"
shuin report --policy pipeline.yaml --cluster prod-1 "$REGISTRY/shop/api" || true
image=$good
check "the good one, after all that" "0"
table
