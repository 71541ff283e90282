package main

import (
	"strings"

	"github.com/shuin/shuin/awsprofile"
)

// devWords are the commands that shuind dev prints. Between the two marks
// every line is a command or a comment of a POSIX shell: all of it can be
// copied at once.
type devWords struct {
	dir, endpoint, registry string
	accessKeyID, secret     string
	root                    string // file of the root certificate
}

// The marks around the commands.
const (
	devBegin = "# ---- copy from here into another shell (sh or bash) ----"
	devEnd   = "# ---- to here ----"
)

// arn is of a signing profile, or what a prefix and a name make.
func (w *devWords) arn(resource string) string {
	return "arn:aws:signer:" + devRegion + ":" + devAccount + ":/" + resource
}

// policy is a Notary trust policy for the two repositories.
func (w *devWords) policy() any {
	statement := func(repo, identity string) map[string]any {
		return map[string]any{
			"name": repo, "registryScopes": []string{w.registry + "/" + repo},
			"signatureVerification": map[string]string{"level": "strict"},
			"trustStores":           []string{"signingAuthority:shuin-dev"},
			"trustedIdentities":     []string{identity},
		}
	}
	return map[string]any{"version": "1.0", "trustPolicies": []any{
		statement(devBuild, w.arn("signing-profiles/build")),
		statement(devRelease, "x509.subject: C=JP, ST=Tokyo, O=Shuin dev, OU="+devAccount+", CN=release"),
	}}
}

// env are the settings for all three programs.
func (w *devWords) env() string {
	lines := []string{
		"# These secrets are throw-away: they are good for this shuind dev alone, for a day.",
		"unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL",
		"export AWS_ACCESS_KEY_ID=" + w.accessKeyID,
		"export AWS_SECRET_ACCESS_KEY=" + w.secret,
		"export AWS_REGION=" + devRegion + " AWS_DEFAULT_REGION=" + devRegion,
		"export AWS_ENDPOINT_URL_SIGNER=" + w.endpoint,
		"# Revocation status is asked at data-HOST; there is no such name for localhost.",
		"export AWS_DISABLE_HOST_PREFIX_INJECTION=true AWS_EC2_METADATA_DISABLED=true AWS_PAGER=",
		"# A configuration of its own: yours is not touched.",
		"export XDG_CONFIG_HOME=" + quote(w.dir+"/config") + " XDG_CACHE_HOME=" + quote(w.dir+"/cache"),
		"export NOTATION_CONFIG=" + quote(w.dir+"/config/notation") + " NOTATION_CACHE=" + quote(w.dir+"/cache/notation"),
	}
	return strings.Join(lines, "\n") + "\n"
}

const devPlatform = awsprofile.PlatformID

// commands are what is tried, in three parts; gateCommands are the fourth.
func (w *devWords) commands() string {
	build, release := w.registry+"/"+devBuild+":"+devTag, w.registry+"/"+devRelease+":"+devTag
	plugin := awsprofile.PluginName
	return `
# 1. With the AWS CLI: a signing profile, a signature, its revocation status.
aws signer put-signing-profile --profile-name build --platform-id ` + devPlatform + `
VERSION_ARN=$(aws signer get-signing-profile --profile-name build --query profileVersionArn --output text)
SIGNED=$(aws signer sign-payload --profile-name build --payload-format application/vnd.cncf.notary.payload.v1+json --payload fileb://` + quote(w.dir+"/payload.json") + ` --query '[jobId, signature]' --output text)
JOB=${SIGNED%%[!0-9a-f-]*}
aws signer describe-signing-job --job-id "$JOB"
#    The status is asked for the certificates in the signature, as a job is good with its own alone. Each is named by
#    the SHA-384 of its signed part and of its issuer's (with openssl; shuin and the plugin do it by themselves).
CERTIFICATES=$(printf %s "${SIGNED##*[!0-9A-Za-z+/=]}" | openssl base64 -d -A | sed 's/.*"x5c":\[//; s/\].*//' | tr -d '"' | tr , '\n')
half() { printf '%s\n' "$CERTIFICATES" | sed -n "$1p" | openssl base64 -d -A | openssl asn1parse -inform DER -strparse 4 -noout -out /dev/stdout | openssl dgst -sha384 -r | cut -c1-96; }
aws signer get-revocation-status --platform-id ` + devPlatform + ` --signature-timestamp "$(date -u +%Y-%m-%dT%H:%M:%SZ)" --profile-version-arn "$VERSION_ARN" --job-arn "` + w.arn("signing-jobs/") + `$JOB" --certificate-hashes "$(half 1)$(half 2)" "$(half 2)$(half 3)" "$(half 3)$(half 4)" "$(half 4)$(half 4)"

# 2. With shuin: trust the signer's root, sign, verify; revoke the signature, and verify again.
shuin cert add --type signingAuthority --store shuin-dev ` + quote(w.root) + `
shuin policy import ` + quote(w.dir+"/policy.json") + `
shuin sign --plugin ` + plugin + ` --id ` + w.arn("signing-profiles/build") + ` ` + build + `
shuin verify ` + build + `
JOB=$(aws signer list-signing-jobs --query 'jobs[0].jobId' --output text)
aws signer revoke-signature --job-id "$JOB" --reason "a trial"
shuin verify ` + build + ` || echo "refused, as it should be"

# 3. With notation and no plugin, for a profile of the kind "standard": its certificates name a revocation list.
#    (Any notation from 1.3 on; where there is none, shuin answers to the name.)
command -v notation || { mkdir -p ` + quote(w.dir+"/bin") + ` && ln -sf "$(command -v shuin)" ` + quote(w.dir+"/bin/notation") + ` && export PATH=` + quote(w.dir+"/bin") + `:"$PATH"; }
aws signer put-signing-profile --profile-name release --platform-id ` + devPlatform + ` --signing-parameters profileKind=standard
shuin sign --plugin ` + plugin + ` --id ` + w.arn("signing-profiles/release") + ` ` + release + `
notation policy import --force ` + quote(w.dir+"/policy.json") + `
notation verify ` + release + `
JOB=$(aws signer list-signing-jobs --query 'jobs[0].jobId' --output text)
aws signer revoke-signature --job-id "$JOB" --reason "a trial"
#    notation keeps a revocation list until it ends (10 minutes here); with an empty cache it sees the new one.
EMPTY=$(mktemp -d)
XDG_CACHE_HOME="$EMPTY" NOTATION_CACHE="$EMPTY" notation verify ` + release + ` || echo "refused, as it should be"
`
}

// aside is for those who have more than the commands need.
func (w *devWords) aside() string {
	return `
# With upstream's notation and the open-source AWS Signer plugin: the plugin asks for revocation status at
# verification.HOST, which this server answers as a proxy too: HTTP_PROXY=` + w.endpoint + ` notation verify …
`
}

// write prints everything.
func (w *devWords) write(a *app) error {
	return a.printf("%s", strings.Join([]string{
		"Signer and gate " + w.endpoint + " and registry " + w.registry + " are ready; data in " + w.dir + ". End with Ctrl-C.",
		"The settings below are also in " + w.dir + "/env.sh.",
		"",
		devBegin,
		w.env() + w.commands() + w.gateCommands() + w.aside() + devEnd,
	}, "\n"))
}

// quote is s for a POSIX shell, plain where it can be.
func quote(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/._-:+@=", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
