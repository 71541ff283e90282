//go:build e2e

package awscli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
)

// subcommands are those of `aws signer`, which are the API's operations, and wait.
var subcommands = []string{
	"add-profile-permission", "cancel-signing-profile", "describe-signing-job", "get-revocation-status", "get-signing-platform",
	"get-signing-profile", "list-profile-permissions", "list-signing-jobs", "list-signing-platforms", "list-signing-profiles",
	"list-tags-for-resource", "put-signing-profile", "remove-profile-permission", "revoke-signature", "revoke-signing-profile",
	"sign-payload", "start-signing-job", "tag-resource", "untag-resource", "wait",
}

// used are the subcommands that were run with success expected, or refused as
// documented.
type used map[string]bool

func TestEverySubcommandOfTheAWSCLIWorks(t *testing.T) {
	operations := "127.0.0.1:" + freePort(t)
	w := newWorld(t, "operations: {listen: "+operations+"}\n")
	t.Log(w.cli.Version)
	seen := used{}
	aws := func(args ...string) map[string]any {
		t.Helper()
		seen[args[0]] = true
		return w.aws(t, w.admin, args...)
	}
	refused := func(code, why string, args ...string) {
		t.Helper()
		seen[args[0]] = true
		w.awsRefused(t, w.admin, code, []string{why}, args...)
	}
	profiles(t, aws)
	job, version, hashes := signs(t, w, aws, refused)
	tags(t, aws)
	permissions(t, w, aws)
	revocation(t, aws, refused, job, version, hashes)
	endings(t, w, aws, refused)
	metrics(t, operations, `shuind_signatures_total{kind="aws"} 2`, `shuind_signatures_total{kind="standard"} 0`,
		`shuind_requests_total{code="ok",operation="SignPayload"} 2`, `shuind_requests_total{code="ValidationException",operation="SignPayload"} 3`,
		`shuind_requests_total{code="ConflictException",operation="RemoveProfilePermission"} 1`, "shuind_log_entries ", "shuind_store_errors_total 0")

	if missing := slices.DeleteFunc(slices.Clone(subcommands), func(s string) bool { return seen[s] }); len(missing) > 0 {
		t.Errorf("never run: %v", missing)
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, subcommands) {
		t.Errorf("run: %v, want %v", got, subcommands)
	}
}

// metrics wants lines of /metrics, and what readiness says in words.
func metrics(t *testing.T, operations string, lines ...string) {
	t.Helper()
	for path, wants := range map[string][]string{"/metrics": lines, "/readyz": {"store: ok", "clock: ok", "ca: ok", "crls: ok"}} {
		res, err := http.Get("http://" + operations + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains("\n"+string(text), "\n"+want) {
				t.Errorf("%s lacks %q:\n%s", path, want, text)
			}
		}
	}
}

type call func(args ...string) map[string]any

func profiles(t *testing.T, aws call) {
	t.Helper()
	put := aws("put-signing-profile", "--profile-name", "build", "--platform-id", platform,
		"--signature-validity-period", "value=12,type=MONTHS", "--tags", "team=shop")
	if got, want := text(t, put, "arn"), "arn:aws:signer:"+region+":"+account+":/signing-profiles/build"; got != want {
		t.Errorf("arn %s, want %s", got, want)
	}
	got := aws("get-signing-profile", "--profile-name", "build")
	if got["status"] != "Active" || got["profileVersion"] != put["profileVersion"] || got["profileVersionArn"] != put["profileVersionArn"] {
		t.Errorf("get-signing-profile: %v", got)
	}
	if period, _ := json.Marshal(got["signatureValidityPeriod"]); string(period) != `{"type":"MONTHS","value":12}` {
		t.Errorf("validity %s", period)
	}
	for i := range 26 {
		aws("put-signing-profile", "--profile-name", fmt.Sprintf("many_%02d", i), "--platform-id", platform)
	}
	// The CLI follows the pages: 25 are the most of one.
	if list := aws("list-signing-profiles")["profiles"].([]any); len(list) != 27 {
		t.Errorf("%d profiles, want 27", len(list))
	}
	if list := aws("list-signing-profiles", "--page-size", "10", "--statuses", "Active", "--platform-id", platform)["profiles"].([]any); len(list) != 27 {
		t.Errorf("%d profiles in pages of ten, want 27", len(list))
	}
	found := false
	for _, p := range aws("list-signing-platforms")["platforms"].([]any) {
		found = found || p.(map[string]any)["platformId"] == platform
	}
	if !found {
		t.Errorf("%s is not among the platforms", platform)
	}
	if got := aws("get-signing-platform", "--platform-id", platform); got["revocationSupported"] != true {
		t.Errorf("get-signing-platform: %v", got)
	}
}

// signs returns a job, and what a verifier of its signature asks about.
func signs(t *testing.T, w *world, aws call, refused func(code, why string, args ...string)) (job, versionARN string, hashes []string) {
	t.Helper()
	made := aws("sign-payload", "--profile-name", "build", "--payload-format", format, "--payload", w.payload(t, artifact))
	job = text(t, made, "jobId")
	signature, err := base64.StdEncoding.DecodeString(text(t, made, "signature"))
	if err != nil || !json.Valid(signature) {
		t.Fatalf("the signature is no JSON in base64: %v", err)
	}
	var jws struct {
		Payload, Protected, Signature string
		Header                        struct {
			X5c [][]byte `json:"x5c"`
		}
	}
	if err := json.Unmarshal(signature, &jws); err != nil || jws.Signature == "" {
		t.Fatalf("the signature is no JWS: %s", signature)
	}
	if payload, err := base64.RawURLEncoding.DecodeString(jws.Payload); err != nil || string(payload) != artifact {
		t.Errorf("signed %q, want the payload as it was", payload)
	}
	aws("wait", "successful-signing-job", "--job-id", job)
	described := aws("describe-signing-job", "--job-id", job)
	if described["status"] != "Succeeded" || described["profileName"] != "build" || described["jobOwner"] != account {
		t.Errorf("describe-signing-job: %v", described)
	}
	jobs := aws("list-signing-jobs", "--status", "Succeeded")["jobs"].([]any)
	if len(jobs) != 1 || jobs[0].(map[string]any)["jobId"] != job {
		t.Errorf("list-signing-jobs: %v", jobs)
	}
	refused("ValidationException", "4096", "sign-payload", "--profile-name", "build", "--payload-format", format,
		"--payload", w.payload(t, strings.Replace(artifact, `"size":411`, `"annotations":{"a":"`+strings.Repeat("x", 4096)+`"},"size":411`, 1)))
	refused("ValidationException", "targetArtifact", "sign-payload", "--profile-name", "build", "--payload-format", format, "--payload", w.payload(t, `{"targetArtifacts":{}}`))
	refused("ResourceNotFoundException", "nobody", "sign-payload", "--profile-name", "nobody", "--payload-format", format, "--payload", w.payload(t, artifact))
	refused("ValidationException", "", "start-signing-job", "--profile-name", "build",
		"--source", "s3={bucketName=b,key=k,version=v}", "--destination", "s3={bucketName=b}")
	return job, text(t, aws("get-signing-profile", "--profile-name", "build"), "profileVersionArn"), certificateHashes(t, jws.Header.X5c)
}

// certificateHashes name the certificates of a chain as GetRevocationStatus does.
func certificateHashes(t *testing.T, chain [][]byte) []string {
	t.Helper()
	certs, err := envelope.ParseChain(chain)
	if err != nil {
		t.Fatal(err)
	}
	return awsprofile.CertificateIDs(certs)
}

// tags: the ARN is one path segment that is encoded twice in what is signed.
func tags(t *testing.T, aws call) {
	t.Helper()
	arn := "arn:aws:signer:" + region + ":" + account + ":/signing-profiles/build"
	aws("tag-resource", "--resource-arn", arn, "--tags", "stage=unit-test,owner=sre")
	want := map[string]any{"team": "shop", "stage": "unit-test", "owner": "sre"}
	if got := aws("list-tags-for-resource", "--resource-arn", arn)["tags"].(map[string]any); !maps.Equal(got, want) {
		t.Errorf("tags %v, want %v", got, want)
	}
	aws("untag-resource", "--resource-arn", arn, "--tag-keys", "stage", "team")
	if got := aws("list-tags-for-resource", "--resource-arn", arn)["tags"].(map[string]any); !maps.Equal(got, map[string]any{"owner": "sre"}) {
		t.Errorf("tags %v after two were taken away", got)
	}
}

func permissions(t *testing.T, w *world, aws call) {
	t.Helper()
	other := w.credential(t, foreign, "ci", "signer:*", "*") // beside the running server
	sign := []string{"sign-payload", "--profile-name", "build", "--profile-owner", account, "--payload-format", format, "--payload", w.payload(t, artifact)}
	w.awsRefused(t, other, "AccessDeniedException", []string{"signer:SignPayload"}, sign...)
	added := aws("add-profile-permission", "--profile-name", "build", "--action", "signer:SignPayload", "--principal", foreign, "--statement-id", "theirs")
	list := aws("list-profile-permissions", "--profile-name", "build")
	if ps := list["permissions"].([]any); len(ps) != 1 || ps[0].(map[string]any)["principal"] != foreign || list["revisionId"] != added["revisionId"] {
		t.Errorf("list-profile-permissions: %v", list)
	}
	made := w.aws(t, other, sign...)
	if got := text(t, made, "jobOwner"); got != account {
		t.Errorf("the job belongs to %s, want the profile's owner", got)
	}
	w.awsRefused(t, w.admin, "ConflictException", nil, "remove-profile-permission", "--profile-name", "build", "--statement-id", "theirs", "--revision-id", "stale")
	aws("remove-profile-permission", "--profile-name", "build", "--statement-id", "theirs", "--revision-id", text(t, added, "revisionId"))
	w.awsRefused(t, other, "AccessDeniedException", []string{"signer:SignPayload"}, sign...)
}

func revocation(t *testing.T, aws call, refused func(code, why string, args ...string), job, versionARN string, hashes []string) {
	t.Helper()
	jobARN := "arn:aws:signer:" + region + ":" + account + ":/signing-jobs/" + job
	status := func(at time.Time) []any {
		t.Helper()
		return aws(append([]string{"get-revocation-status", "--platform-id", platform, "--signature-timestamp", at.UTC().Format(time.RFC3339),
			"--profile-version-arn", versionARN, "--job-arn", jobARN, "--certificate-hashes"}, hashes...)...)["revokedEntities"].([]any)
	}
	if got := status(time.Now()); len(got) != 0 {
		t.Errorf("revoked %v before anything was", got)
	}
	aws("revoke-signature", "--job-id", job, "--reason", "the key of the build machine was lost")
	if got := status(time.Now()); !slices.Contains(got, any(jobARN)) {
		t.Errorf("revoked %v, want the job", got)
	}
	refused("ResourceNotFoundException", "", "revoke-signature", "--job-id", "00000000-0000-0000-0000-000000000000", "--reason", "none")
	effective := time.Now().Add(-time.Minute)
	version := versionARN[strings.LastIndexByte(versionARN, '/')+1:]
	aws("revoke-signing-profile", "--profile-name", "build", "--profile-version", version, "--reason", "lost", "--effective-time", effective.UTC().Format(time.RFC3339))
	if got := status(time.Now()); !slices.Contains(got, any(versionARN)) {
		t.Errorf("revoked %v, want the profile version", got)
	}
	if got := status(effective.Add(-time.Hour)); slices.Contains(got, any(versionARN)) {
		t.Errorf("revoked %v for a signature of an hour before", got)
	}
}

func endings(t *testing.T, w *world, aws call, refused func(code, why string, args ...string)) {
	t.Helper()
	refused("ValidationException", "", "sign-payload", "--profile-name", "build", "--payload-format", format, "--payload", w.payload(t, artifact))
	aws("cancel-signing-profile", "--profile-name", "many_00")
	if got := aws("get-signing-profile", "--profile-name", "many_00"); got["status"] != "Canceled" {
		t.Errorf("canceled, and yet %v", got)
	}
	if list := aws("list-signing-profiles", "--include-canceled", "--statuses", "Canceled")["profiles"].([]any); len(list) != 1 {
		t.Errorf("%d canceled profiles, want 1", len(list))
	}
	refused("ValidationException", "", "put-signing-profile", "--profile-name", "many_00", "--platform-id", platform)
	refused("ValidationException", "", "put-signing-profile", "--profile-name", "Many_01", "--platform-id", platform)
}

func TestTheAWSCLIIsToldWhyItIsRefused(t *testing.T) {
	w := newWorld(t, "")
	w.aws(t, w.admin, "put-signing-profile", "--profile-name", "build", "--platform-id", platform)
	get := []string{"get-signing-profile", "--profile-name", "build"}
	limited := w.credential(t, account, "reader", "signer:GetSigningProfile", "build")
	gone := w.credential(t, account, "gone", "signer:*", "*")
	w.must(t, "credential", "disable", "--config", w.config(), gone.id)
	for _, c := range []struct {
		name string
		key  key
		code string
		text string
		args []string
	}{
		{"a wrong secret", key{w.admin.id, strings.Repeat("x", 40)}, "InvalidSignatureException", "", get},
		{"an unknown key", key{"AKIAAAAAAAAAAAAAAAAA", w.admin.secret}, "UnrecognizedClientException", "", get},
		{"a disabled key", gone, "UnrecognizedClientException", "", get},
		{"an action that the key may not take", limited, "AccessDeniedException", "signer:PutSigningProfile", []string{"put-signing-profile", "--profile-name", "build", "--platform-id", platform}},
		{"a profile that the key may not touch", limited, "AccessDeniedException", "", []string{"get-signing-profile", "--profile-name", "other"}},
		{"a name that the model's pattern refuses", w.admin, "ValidationException", "profileName", []string{"put-signing-profile", "--profile-name", "bad-name", "--platform-id", platform}},
		{"a platform that there is not", w.admin, "ValidationException", "", []string{"put-signing-profile", "--profile-name", "lambda", "--platform-id", "AWSLambda-SHA384-ECDSA"}},
		{"a tag on nothing", w.admin, "NotFoundException", "", []string{"list-tags-for-resource", "--resource-arn", "arn:aws:signer:" + region + ":" + account + ":/signing-profiles/nothing"}},
	} {
		t.Run(c.name, func(t *testing.T) { w.awsRefused(t, c.key, c.code, []string{c.text}, c.args...) })
	}
	w.aws(t, limited, get...)
	t.Run("a region that is not the signer's", func(t *testing.T) {
		_, stderr, status := w.run(t, append(w.env(w.admin), "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1"), w.cli.Bin+"/aws", "signer", "list-signing-jobs")
		if status == 0 || !strings.Contains(stderr, region) {
			t.Errorf("status %d: %s", status, stderr)
		}
	})
	list := w.must(t, "credential", "list", "--config", w.config())
	for _, want := range []string{gone.id, "disabled", limited.id, "signer:GetSigningProfile"} {
		if !strings.Contains(list, want) {
			t.Errorf("credential list lacks %q:\n%s", want, list)
		}
	}
	if out := w.must(t, "log", "verify", "--config", w.config()); !strings.Contains(out, "the log is whole") {
		t.Errorf("log verify: %s", out)
	}
}

// TestRevocationStatusIsAskedAtThePrefixedName: the CLI puts data- before the
// host; where no such name is, the server is its own proxy.
func TestRevocationStatusIsAskedAtThePrefixedName(t *testing.T) {
	w := newWorld(t, "")
	put := w.aws(t, w.admin, "put-signing-profile", "--profile-name", "build", "--platform-id", platform)
	env := slices.DeleteFunc(w.env(w.admin), func(s string) bool { return strings.HasPrefix(s, "AWS_DISABLE_HOST") })
	stdout, stderr, status := w.run(t, append(env, "HTTP_PROXY="+w.endpoint), w.cli.Bin+"/aws", "--output", "json", "signer", "get-revocation-status",
		"--platform-id", platform, "--signature-timestamp", time.Now().UTC().Format(time.RFC3339), "--profile-version-arn", text(t, put, "profileVersionArn"),
		"--job-arn", "arn:aws:signer:"+region+":"+account+":/signing-jobs/none", "--certificate-hashes", strings.Repeat("0", 192))
	t.Log(stdout, stderr, status)
	if status != 0 && !strings.Contains(stderr, "Exception)") {
		t.Fatalf("the server did not answer: %s", stderr)
	}
	if out := w.written.String(); !strings.Contains(out, "data-localhost:"+w.port) && !strings.Contains(out, "verification.localhost:"+w.port) {
		t.Errorf("nobody asked at a prefixed name: %s", tail(out))
	}
}
