package awssigner

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/signing"
)

const (
	tagPath    = "/tags/arn%3Aaws%3Asigner%3Aus-west-2%3A111122223333%3A%2Fsigning-profiles%2Fbuild"
	tagARN     = "arn:aws:signer:us-west-2:111122223333:/signing-profiles/build"
	versionARN = "arn:aws:signer:us-west-2:111122223333:/signing-profiles/build/abcdefghij"
	jobARN     = "arn:aws:signer:us-west-2:111122223333:/signing-jobs/7f2c"
)

func ptr[T any](v T) *T { return &v }

// Every operation as clients write it, what the service is asked, and the
// whole answer.
func TestOperationsAreDecodedAndAnswered(t *testing.T) {
	job := `"createdAt":1795321800.001,"jobId":"7f2c0d9e-0000-4000-8000-000000000001","jobInvoker":"111122223333","jobOwner":"111122223333","platformDisplayName":"Notation for container registries","platformId":"Notation-OCI-SHA384-ECDSA","profileName":"build","profileVersion":"abcdefghij","signatureExpiresAt":2150425800,"status":"Succeeded"`
	profile := `"arn":"` + tagARN + `","platformDisplayName":"Notation for container registries","platformId":"Notation-OCI-SHA384-ECDSA","profileName":"build","profileVersion":"abcdefghij","profileVersionArn":"` + versionARN + `","signatureValidityPeriod":{"type":"MONTHS","value":135},"signingParameters":{"profileKind":"aws"},"status":"Revoked","tags":{"team":"a"}`
	platform := `{"displayName":"Notation for container registries","maxSizeInMB":0,"platformId":"Notation-OCI-SHA384-ECDSA","revocationSupported":true,"signingConfiguration":{"encryptionAlgorithmOptions":{"allowedValues":["ECDSA"],"defaultValue":"ECDSA"},"hashAlgorithmOptions":{"allowedValues":["SHA384"],"defaultValue":"SHA384"}},"signingImageFormat":{"defaultFormat":"JSONEmbedded","supportedFormats":["JSONEmbedded"]},"target":"Notation"}`
	for _, c := range []struct {
		name, method, target, body, op string
		in                             any
		want                           string
	}{
		{"sign payload", "POST", "/signing-jobs/with-payload", `{"profileName":"build","profileOwner":"111122223333","payload":"eyJ4IjoxfQ==","payloadFormat":"application/vnd.cncf.notary.payload.v1+json"}`, "SignPayload",
			signing.SignPayloadInput{ProfileName: "build", ProfileOwner: testAccount, PayloadFormat: "application/vnd.cncf.notary.payload.v1+json", Payload: []byte(`{"x":1}`)},
			`{"jobId":"7f2c0d9e-0000-4000-8000-000000000001","jobOwner":"111122223333","metadata":{"k":"v"},"signature":"eyJwYXlsb2FkIjoieCJ9"}`},
		{"start a job of another platform", "POST", "/signing-jobs", `{"source":{"s3":{"bucketName":"b","key":"k","version":"1"}},"destination":{"s3":{"bucketName":"b"}},"profileName":"build","clientRequestToken":"t"}`, "StartSigningJob", "build", ``},
		{"describe a job", "GET", "/signing-jobs/7f2c", "", "DescribeSigningJob", "7f2c",
			`{"completedAt":1795321800.25,"requestedBy":"arn:aws:iam::111122223333:user/ci","revocationRecord":{"reason":"leaked","revokedAt":1795321800,"revokedBy":"arn:aws:iam::111122223333:user/root"},"statusReason":"Signing Succeeded",` + job + `}`},
		{"list jobs with every filter", "GET", "/signing-jobs?status=Succeeded&platformId=p&requestedBy=arn%3Ax&maxResults=25&nextToken=t&isRevoked=false&signatureExpiresBefore=2026-11-21T23%3A31%3A32Z&signatureExpiresAfter=2026-11-21T23%3A31%3A32.5%2B09%3A00&jobInvoker=444455556666&unknown=1", "", "ListSigningJobs",
			signing.ListSigningJobsInput{Status: "Succeeded", PlatformID: "p", RequestedBy: "arn:x", MaxResults: 25, NextToken: "t", IsRevoked: ptr(false), JobInvoker: "444455556666",
				ExpiresBefore: time.Date(2026, 11, 21, 23, 31, 32, 0, time.UTC), ExpiresAfter: time.Date(2026, 11, 21, 14, 31, 32, 500e6, time.UTC)},
			`{"jobs":[{"isRevoked":true,` + job + `}],"nextToken":"next"}`},
		{"list jobs with none", "GET", "/signing-jobs", "", "ListSigningJobs", signing.ListSigningJobsInput{}, `{"jobs":[{"isRevoked":true,` + job + `}],"nextToken":"next"}`},
		{"revoke a signature", "PUT", "/signing-jobs/7f2c/revoke", `{"reason":"lost","jobOwner":"111122223333"}`, "RevokeSignature", signing.RevokeSignatureInput{JobID: "7f2c", JobOwner: testAccount, Reason: "lost"}, ``},
		{"put a profile", "PUT", "/signing-profiles/build", `{"platformId":"Notation-OCI-SHA384-ECDSA","signatureValidityPeriod":{"value":10,"type":"DAYS"},"signingParameters":{"profileKind":"standard"},"tags":{"team":"a","b":""},"unknown":{"x":[1]}}`, "PutSigningProfile",
			signing.PutSigningProfileInput{ProfileName: "build", PlatformID: "Notation-OCI-SHA384-ECDSA", Validity: &signing.Validity{Value: 10, Type: "DAYS"}, Parameters: map[string]string{"profileKind": "standard"}, Tags: map[string]string{"team": "a", "b": ""}},
			`{"arn":"` + tagARN + `","profileVersion":"abcdefghij","profileVersionArn":"` + versionARN + `"}`},
		{"put a profile with material and overrides", "PUT", "/signing-profiles/build", `{"platformId":"P","overrides":{"signingImageFormat":"JSON"},"signingMaterial":{"certificateArn":"a"},"tags":null}`, "PutSigningProfile",
			signing.PutSigningProfileInput{ProfileName: "build", PlatformID: "P", Overrides: true, SigningMaterial: &signing.SigningMaterial{CertificateARN: "a"}}, `{"arn":"` + tagARN + `","profileVersion":"abcdefghij","profileVersionArn":"` + versionARN + `"}`},
		{"get a profile of another account", "GET", "/signing-profiles/build?profileOwner=444455556666", "", "GetSigningProfile", signing.GetSigningProfileInput{ProfileName: "build", ProfileOwner: "444455556666"},
			`{"revocationRecord":{"revocationEffectiveFrom":1795321800,"revokedAt":1795321800,"revokedBy":"me"},"statusReason":"why",` + profile + `}`},
		{"list profiles", "GET", "/signing-profiles?includeCanceled=true&maxResults=1&nextToken=t&platformId=p&statuses=Active&statuses=Canceled", "", "ListSigningProfiles",
			signing.ListSigningProfilesInput{IncludeCanceled: true, MaxResults: 1, NextToken: "t", PlatformID: "p", Statuses: []string{"Active", "Canceled"}}, `{"nextToken":"next","profiles":[{` + profile + `}]}`},
		{"cancel a profile", "DELETE", "/signing-profiles/build", "", "CancelSigningProfile", "build", ``},
		{"revoke a profile", "PUT", "/signing-profiles/build/revoke", `{"profileVersion":"abcdefghij","reason":"lost","effectiveTime":1.7953218005E9}`, "RevokeSigningProfile",
			signing.RevokeSigningProfileInput{ProfileName: "build", ProfileVersion: "abcdefghij", Reason: "lost", EffectiveTime: testNow.Add(500 * time.Millisecond)}, ``},
		{"add a permission", "POST", "/signing-profiles/build/permissions", `{"action":"signer:SignPayload","principal":"444455556666","statementId":"s","profileVersion":"abcdefghij","revisionId":"r"}`, "AddProfilePermission",
			signing.AddProfilePermissionInput{ProfileName: "build", Action: "signer:SignPayload", Principal: "444455556666", StatementID: "s", ProfileVersion: "abcdefghij", RevisionID: "r"}, `{"revisionId":"rev"}`},
		{"list permissions", "GET", "/signing-profiles/build/permissions?nextToken=t", "", "ListProfilePermissions", signing.ListProfilePermissionsInput{ProfileName: "build", NextToken: "t"},
			`{"permissions":[{"action":"signer:SignPayload","principal":"111122223333","statementId":"s"}],"policySizeBytes":7,"revisionId":"rev"}`},
		{"remove a permission whose id has a slash", "DELETE", "/signing-profiles/build/permissions/a%2Fb?revisionId=r", "", "RemoveProfilePermission", signing.RemoveProfilePermissionInput{ProfileName: "build", StatementID: "a/b", RevisionID: "r"}, `{"revisionId":"rev"}`},
		{"ask for revocation", "GET", "/revocations?certificateHashes=b&certificateHashes=a&jobArn=" + jobARN + "&platformId=p&profileVersionArn=" + versionARN + "&signatureTimestamp=2026-11-21T23:31:32Z", "", "GetRevocationStatus",
			signing.GetRevocationStatusInput{SignatureTimestamp: time.Date(2026, 11, 21, 23, 31, 32, 0, time.UTC), PlatformID: "p", ProfileVersionARN: versionARN, JobARN: jobARN, CertificateHashes: []string{"a", "b"}}, `{"revokedEntities":[]}`},
		{"get a platform", "GET", "/signing-platforms/Notation-OCI-SHA384-ECDSA", "", "GetSigningPlatform", "Notation-OCI-SHA384-ECDSA", platform},
		{"list platforms", "GET", "/signing-platforms?category=c&partner=p&target=t&maxResults=2&nextToken=n", "", "ListSigningPlatforms", signing.ListSigningPlatformsInput{Category: "c", Partner: "p", Target: "t", MaxResults: 2, NextToken: "n"}, `{"platforms":[` + platform + `]}`},
		{"tag", "POST", tagPath, `{"tags":{"team":"b c"}}`, "TagResource", tagCall{ARN: tagARN, Tags: map[string]string{"team": "b c"}}, `{}`},
		{"untag", "DELETE", tagPath + "?tagKeys=team&tagKeys=a%2Fb", "", "UntagResource", tagCall{ARN: tagARN, Keys: []string{"a/b", "team"}}, `{}`},
		{"list tags", "GET", tagPath, "", "ListTagsForResource", tagCall{ARN: tagARN}, `{"tags":{"team":"a"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			w := b.call(c.method, c.target, c.body)
			if w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if b.fake.op != c.op {
				t.Errorf("called %s", b.fake.op)
			}
			if d := cmp.Diff(c.in, b.fake.in); d != "" {
				t.Errorf("the service was asked (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tree(t, c.want), tree(t, w.Body.String())); d != "" {
				t.Errorf("answer (-want +got):\n%s", d)
			}
			if id := w.Header().Get("x-amzn-RequestId"); len(id) != 36 || id != b.fake.caller.RequestID {
				t.Errorf("request id %q, the service had %q", id, b.fake.caller.RequestID)
			}
			if got := b.seen; len(got) != 1 || got[0] != c.op+" " {
				t.Errorf("observed %q", got)
			}
		})
	}
}

func TestEveryOperationOfTheModelHasATest(t *testing.T) {
	if n := len(Operations()); n != 19 {
		t.Fatalf("%d operations", n)
	}
}

// tree is JSON for comparison, numbers as they were written.
func tree(t *testing.T, s string) any {
	t.Helper()
	if s == "" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return v
}

// refusal is an error as clients read it.
type refusal struct {
	Message, Code string
}

func readRefusal(t *testing.T, body []byte) refusal {
	t.Helper()
	var r map[string]string
	if err := json.Unmarshal(body, &r); err != nil || len(r) != 2 {
		t.Fatalf("not an error: %s", body)
	}
	return refusal{r["message"], r["code"]}
}

func TestConstraintsOfTheModelAreHeldAndAllNamed(t *testing.T) {
	long := strings.Repeat("a", 65)
	for _, c := range []struct {
		name, method, target, body, want string
		code                             string
	}{
		{"a name too short", "GET", "/signing-profiles/x", "", "2 validation errors detected: Value 'x' at 'profileName' failed to satisfy constraint: Member must have length greater than or equal to 2; Value 'x' at 'profileName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9_]{2,}", ""},
		{"a name too long", "DELETE", "/signing-profiles/" + long, "", "1 validation error detected: Value '" + long + "' at 'profileName' failed to satisfy constraint: Member must have length less than or equal to 64", ""},
		{"a name that only begins well", "GET", "/signing-profiles/bad-name", "", "1 validation error detected: Value 'bad-name' at 'profileName' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9_]{2,}", ""},
		{"an owner that is no account", "GET", "/signing-profiles/build?profileOwner=123", "", "2 validation errors detected: Value '123' at 'profileOwner' failed to satisfy constraint: Member must have length greater than or equal to 12; Value '123' at 'profileOwner' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[0-9]{12}$", ""},
		{"nothing to sign", "POST", "/signing-jobs/with-payload", `{}`, "3 validation errors detected: Value null at 'profileName' failed to satisfy constraint: Member must not be null; Value null at 'payloadFormat' failed to satisfy constraint: Member must not be null; Value null at 'payload' failed to satisfy constraint: Member must not be null", ""},
		{"no body at all", "POST", "/signing-jobs/with-payload", ``, "3 validation errors detected", ""},
		{"an empty payload", "POST", "/signing-jobs/with-payload", `{"profileName":"build","payloadFormat":"f","payload":""}`, "1 validation error detected: Value at 'payload' failed to satisfy constraint: Member must have length greater than or equal to 1", ""},
		{"an oversized payload", "POST", "/signing-jobs/with-payload", `{"profileName":"build","payloadFormat":"f","payload":"` + strings.Repeat("AAAA", 1366) + `"}`, "1 validation error detected: Value at 'payload' failed to satisfy constraint: Member must have length less than or equal to 4096", ""},
		{"an unknown member when signing", "POST", "/signing-jobs/with-payload", `{"profileName":"build","payloadFormat":"f","payload":"QQ==","profileAlias":"x"}`, "SignPayload has no member 'profileAlias'. Nothing is signed for a request that is not wholly understood.", ""},
		{"a job without its members", "POST", "/signing-jobs", `{"source":{"s3":{}}}`, "6 validation errors detected: Value null at 'source.s3.bucketName'", ""},
		{"no reason", "PUT", "/signing-jobs/7f2c/revoke", `{"reason":""}`, "Value '' at 'reason' failed to satisfy constraint: Member must have length greater than or equal to 1", ""},
		{"a long reason", "PUT", "/signing-jobs/7f2c/revoke", `{"reason":"` + strings.Repeat("é", 501) + `"}`, "Member must have length less than or equal to 500", ""},
		{"a version that is none", "PUT", "/signing-profiles/build/revoke", `{"profileVersion":"abcdefghi-","reason":"r","effectiveTime":1}`, "Value 'abcdefghi-' at 'profileVersion' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9]{10}$", ""},
		{"no time", "PUT", "/signing-profiles/build/revoke", `{"profileVersion":"abcdefghij","reason":"r"}`, "Value null at 'effectiveTime' failed to satisfy constraint: Member must not be null", ""},
		{"a time that is text", "PUT", "/signing-profiles/build/revoke", `{"profileVersion":"abcdefghij","reason":"r","effectiveTime":"2026-11-21T23:31:32Z"}`, "Value at 'effectiveTime' failed to satisfy constraint: Member must be a timestamp", ""},
		{"a time out of range", "PUT", "/signing-profiles/build/revoke", `{"profileVersion":"abcdefghij","reason":"r","effectiveTime":1e300}`, "Value at 'effectiveTime'", ""},
		{"no platform", "PUT", "/signing-profiles/build", ``, "1 validation error detected: Value null at 'platformId' failed to satisfy constraint: Member must not be null", ""},
		{"a validity of weeks", "PUT", "/signing-profiles/build", `{"platformId":"p","signatureValidityPeriod":{"value":1,"type":"WEEKS"}}`, "Value 'WEEKS' at 'signatureValidityPeriod.type' failed to satisfy constraint: Member must satisfy enum value set: [DAYS, MONTHS, YEARS]", ""},
		{"a validity without its value", "PUT", "/signing-profiles/build", `{"platformId":"p","signatureValidityPeriod":{"type":"DAYS"}}`, "Value null at 'signatureValidityPeriod.value'", ""},
		{"a reserved tag", "PUT", "/signing-profiles/build", `{"platformId":"p","tags":{"aws:x":"1"}}`, "Value 'aws:x' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: ^(?!aws:)[a-zA-Z+-=._:/]+$]", ""},
		{"no tags", "POST", tagPath, `{}`, "Value null at 'tags' failed to satisfy constraint: Member must not be null", codeTagBad},
		{"an empty map of tags", "POST", tagPath, `{"tags":{}}`, "Value at 'tags' failed to satisfy constraint: Member must have length greater than or equal to 1", codeTagBad},
		{"a tag with a long value", "POST", tagPath, `{"tags":{"a":"` + strings.Repeat("x", 257) + `"}}`, "Map value must satisfy constraint: [Member must have length less than or equal to 256]", codeTagBad},
		{"a tag that is null", "POST", tagPath, `{"tags":{"a":null}}`, "Value null at 'tags.a'", codeTagBad},
		{"no keys to untag", "DELETE", tagPath, ``, "Value null at 'tagKeys' failed to satisfy constraint: Member must not be null", codeTagBad},
		{"a key with a space", "DELETE", tagPath + "?tagKeys=a%20b", ``, "Value '[a b]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy regular expression pattern", codeTagBad},
		{"too many results", "GET", "/signing-jobs?maxResults=26", "", "Value '26' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 25", ""},
		{"no results", "GET", "/signing-profiles?maxResults=0", "", "Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1", ""},
		{"results that are no number", "GET", "/signing-platforms?maxResults=two", "", "Value 'two' at 'maxResults'", ""},
		{"an unknown status", "GET", "/signing-jobs?status=Done", "", "Value 'Done' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [InProgress, Failed, Succeeded]", ""},
		{"an unknown status in a list", "GET", "/signing-profiles?statuses=Active&statuses=X", "", "Value '[X]' at 'statuses' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [Active, Canceled, Revoked]]", ""},
		{"a flag that is none", "GET", "/signing-jobs?isRevoked=yes", "", "Value 'yes' at 'isRevoked'", ""},
		{"a parameter twice", "GET", "/signing-jobs?status=Failed&status=Succeeded", "", "Value at 'status' failed to satisfy constraint: Member must be given once", ""},
		{"a query time that is a number", "GET", "/signing-jobs?signatureExpiresAfter=1795321800", "", "Value '1795321800' at 'signatureExpiresAfter'", ""},
		{"nothing asked of revocation", "GET", "/revocations", "", "5 validation errors detected: Value null at 'signatureTimestamp'", ""},
		{"a short ARN", "GET", "/revocations?certificateHashes=a&jobArn=arn&platformId=p&profileVersionArn=" + versionARN + "&signatureTimestamp=2026-11-21T23:31:32Z", "", "Value 'arn' at 'jobArn' failed to satisfy constraint: Member must have length greater than or equal to 20", ""},
		{"too many certificates", "GET", "/revocations?jobArn=" + jobARN + "&platformId=p&profileVersionArn=" + versionARN + "&signatureTimestamp=2026-11-21T23:31:32Z" + strings.Repeat("&certificateHashes=a", 33), "", "Value at 'certificateHashes' failed to satisfy constraint: Member must have length less than or equal to 32", ""},
		{"no revision", "DELETE", "/signing-profiles/build/permissions/s", "", "Value null at 'revisionId'", ""},
		{"an empty permission", "POST", "/signing-profiles/build/permissions", "{}", "3 validation errors detected", ""},
		{"a control character is not echoed", "GET", "/signing-profiles/a%0Ab", "", `Value 'a\nb' at 'profileName'`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			w := b.call(c.method, c.target, c.body)
			code := c.code
			if code == "" {
				code = codeValidation
			}
			got := readRefusal(t, w.Body.Bytes())
			if w.Code != http.StatusBadRequest || got.Code != code || w.Header().Get("x-amzn-ErrorType") != code {
				t.Errorf("%d %+v", w.Code, got)
			}
			if !strings.Contains(got.Message, c.want) {
				t.Errorf("said  %s\nwant  %s", got.Message, c.want)
			}
			if b.fake.calls != 0 {
				t.Error("the service was asked")
			}
			if len(w.Header().Get("x-amzn-RequestId")) != 36 {
				t.Error("no request id")
			}
		})
	}
}

func TestBodiesThatAreNotTheModelsAreRefused(t *testing.T) {
	const sign = "/signing-jobs/with-payload"
	for _, c := range []struct {
		name, body, says string
		header           []string
		status           int
		code             string
	}{
		{name: "no JSON", body: `{"profileName":`, says: "malformed JSON"},
		{name: "two values", body: `{} {}`, says: "malformed JSON"},
		{name: "an array", body: `[]`, says: "want a JSON object"},
		{name: "a member twice", body: `{"profileName":"aa","profileName":"bb"}`, says: "'profileName' occurs twice"},
		{name: "a number for a string", body: `{"profileName":5}`, says: "'profileName' does not have the type"},
		{name: "no base64", body: `{"payload":"####"}`, says: "'payload' does not have the type"},
		{name: "bytes that are not UTF-8", body: "{\"profileName\":\"\xff\"}", says: "malformed JSON"},
		{name: "a name in other case", body: `{"PROFILENAME":"build"}`, says: "no member 'PROFILENAME'", code: codeValidation},
		{name: "a form", body: `a=b`, header: []string{"Content-Type", "application/x-www-form-urlencoded"}, says: "application/json", status: 415, code: codeMediaType},
		{name: "another charset", body: `{}`, header: []string{"Content-Type", "application/json; charset=utf-16"}, says: "charset=utf-16", status: 415, code: codeMediaType},
		{name: "a compressed body", body: `{}`, header: []string{"Content-Encoding", "gzip"}, says: "Content-Encoding", status: 415, code: codeMediaType},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			w := b.call("POST", sign, c.body, c.header...)
			status, code := c.status, c.code
			if status == 0 {
				status = 400
			}
			if code == "" {
				code = codeSerialization
			}
			got := readRefusal(t, w.Body.Bytes())
			if w.Code != status || got.Code != code || !strings.Contains(got.Message, c.says) || b.fake.calls != 0 {
				t.Errorf("%d %+v", w.Code, got)
			}
		})
	}
	for _, ct := range []string{"", "application/json; charset=UTF-8", "application/x-amz-json-1.1"} {
		if w := newBench(t).call("POST", sign, `{"profileName":"build","payloadFormat":"f","payload":"QQ=="}`, "Content-Type", ct); w.Code != 200 {
			t.Errorf("content type %q: %d %s", ct, w.Code, w.Body)
		}
	}
}

func TestFaultsHaveTheNamesAndStatusesOfTheModel(t *testing.T) {
	for _, c := range []struct {
		fault         signing.Fault
		code, tagCode string
		status        int
	}{
		{signing.FaultInternal, codeInternal, codeInternal, 500},
		{signing.FaultValidation, codeValidation, codeTagBad, 400},
		{signing.FaultAccessDenied, codeAccessDenied, codeAccessDenied, 403},
		{signing.FaultNotFound, codeNotFound, codeTagNotFound, 404},
		{signing.FaultConflict, codeConflict, codeConflict, 409},
		{signing.FaultLimit, codeLimit, codeLimit, 402},
		{signing.FaultThrottled, codeThrottled, codeThrottled, 429},
		{signing.FaultUnavailable, codeInternal, codeInternal, 503},
	} {
		b := newBench(t)
		b.fake.err = &signing.Error{Fault: c.fault, Message: "because"}
		for target, code := range map[string]string{"/signing-profiles/build": c.code, tagPath: c.tagCode} {
			w := b.call("GET", target, "")
			if got := readRefusal(t, w.Body.Bytes()); w.Code != c.status || got != (refusal{"because", code}) || w.Header().Get("X-Amzn-ErrorType") != code {
				t.Errorf("fault %v of %s: %d %+v", c.fault, target, w.Code, got)
			}
		}
	}
}

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		name, method, target string
		status               int
		allow                string
	}{
		{"the root", "GET", "/", 404, ""},
		{"an unknown path", "GET", "/signing", 404, ""},
		{"a path too long", "GET", "/signing-jobs/a/b", 404, ""},
		{"a trailing slash", "GET", "/signing-profiles/", 404, ""},
		{"a doubled slash", "GET", "//signing-profiles", 404, ""},
		{"an ARN whose slashes are not escaped", "GET", "/tags/" + tagARN, 404, ""},
		{"a path escaped without need", "GET", "/signing%2Djobs", 404, ""},
		{"a wrong method", "PATCH", "/signing-profiles/build", 405, "DELETE, GET, PUT"},
		{"HEAD", "HEAD", "/signing-jobs", 405, "GET, POST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			w := b.call(c.method, c.target, "")
			got := readRefusal(t, w.Body.Bytes())
			if w.Code != c.status || got.Code != codeUnknownOp || w.Header().Get("Allow") != c.allow || b.fake.calls != 0 {
				t.Errorf("%d %+v allow %q", w.Code, got, w.Header().Get("Allow"))
			}
			if w.Header().Get("Content-Type") != "application/json" || len(w.Header().Get("X-Amzn-RequestId")) != 36 {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
}
