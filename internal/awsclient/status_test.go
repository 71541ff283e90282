package awsclient

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

func query() awsprofile.StatusQuery {
	return awsprofile.StatusQuery{
		Profile:        awsprofile.Profile{Partition: "aws", Region: "eu-west-1", Account: "111122223333", Name: "build", Version: "abcdefghij"},
		Job:            awsprofile.Job{Partition: "aws", Region: "eu-west-1", Account: "111122223333", ID: "0000"},
		SignedAt:       time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		CertificateIDs: []string{strings.Repeat("a", 192), strings.Repeat("0", 192)},
	}
}

func TestStatusIsAskedInTheProfilesRegionUnlessOneIsNamed(t *testing.T) {
	for _, tc := range []struct {
		name      string
		partition string
		region    string
		config    map[string]string
		noPrefix  bool
		host      string
		scope     string
	}{
		{"its own region, at AWS's own name", "aws", "eu-west-1", nil, false, "data-signer.eu-west-1.amazonaws.com", "/eu-west-1/signer/"},
		{"its own partition", "aws-cn", "cn-north-1", nil, false, "data-signer.cn-north-1.amazonaws.com.cn", "/cn-north-1/signer/"},
		{"GovCloud", "aws-us-gov", "us-gov-west-1", nil, false, "data-signer.us-gov-west-1.amazonaws.com", "/us-gov-west-1/signer/"},
		{"its region, named by the user too", "aws", "eu-west-1", map[string]string{ConfigRegion: "eu-west-1"}, false, "data-signer.eu-west-1.amazonaws.com", "/eu-west-1/signer/"},
		{"a region that the user names for an endpoint", "aws", "eu-west-1", map[string]string{ConfigRegion: "us-east-1", ConfigEndpoint: "https://signer.test"}, false, "data-signer.test", "/us-east-1/signer/"},
		{"a signer of one's own in any partition", "aws-us-gov", "us-east-1", map[string]string{ConfigEndpoint: "https://signer.test"}, false, "data-signer.test", "/us-east-1/signer/"},
		{"an endpoint with a name", "aws", "eu-west-1", map[string]string{ConfigEndpoint: "https://signer.test"}, false, "data-signer.test", "/eu-west-1/signer/"},
		{"an endpoint with a port", "aws", "eu-west-1", map[string]string{ConfigEndpoint: "https://signer.test:8443"}, false, "data-signer.test:8443", "/eu-west-1/signer/"},
		{"an IP address has no names below it", "aws", "eu-west-1", map[string]string{ConfigEndpoint: "http://127.0.0.1:8443"}, false, "127.0.0.1:8443", "/eu-west-1/signer/"},
		{"nor has an IPv6 address", "aws", "eu-west-1", map[string]string{ConfigEndpoint: "http://[::1]:8443"}, false, "[::1]:8443", "/eu-west-1/signer/"},
		{"nor localhost", "aws", "eu-west-1", map[string]string{ConfigEndpoint: "http://localhost:8443"}, false, "localhost:8443", "/eu-west-1/signer/"},
		{"the AWS CLI's variable", "aws", "eu-west-1", map[string]string{ConfigEndpoint: "https://signer.test"}, true, "signer.test", "/eu-west-1/signer/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t)
			s.clients.NoHostPrefix = tc.noPrefix
			s.says(http.StatusOK, "", `{"revokedEntities":[]}`)
			q := query()
			q.Profile.Partition, q.Profile.Region, q.Job.Partition, q.Job.Region = tc.partition, tc.region, tc.partition, tc.region
			got, err := (&Status{s.clients}).RevocationStatus(t.Context(), q, tc.config)
			if err != nil || len(got) != 0 {
				t.Fatalf("%v, %v", got, err)
			}
			r := s.seen[0]
			if r.Host != tc.host || !strings.Contains(r.Header.Get("Authorization"), tc.scope) {
				t.Errorf("asked %s with %s", r.Host, r.Header.Get("Authorization"))
			}
			if !strings.Contains(r.Header.Get("User-Agent"), "shuin/1.2.3") {
				t.Errorf("user agent %q", r.Header.Get("User-Agent"))
			}
			v := r.URL.Query()
			ids := v["certificateHashes"]
			slices.Sort(ids)
			want := slices.Sorted(slices.Values(q.CertificateIDs))
			if v.Get("profileVersionArn") != q.Profile.String() || v.Get("jobArn") != q.Job.String() || v.Get("platformId") != awsprofile.PlatformID ||
				v.Get("signatureTimestamp") != "2026-01-01T00:00:00Z" || cmp.Diff(want, ids) != "" {
				t.Errorf("asked %v", v)
			}
		})
	}
}

func TestOlderNamesOfAnEndpointAreTriedWhereTheNewOneDoesNotExist(t *testing.T) {
	for _, tc := range []struct {
		name  string
		hosts []string
		asked []string
		want  shuin.Code
	}{
		{"data- exists", []string{"signer.test", "verification.signer.test", "data-signer.test"}, []string{"data-signer.test"}, ""},
		{"only verification. exists", []string{"signer.test", "verification.signer.test"}, []string{"data-signer.test", "verification.signer.test"}, ""},
		{"neither exists", []string{"signer.test"}, []string{"data-signer.test", "verification.signer.test", "signer.test"}, ""},
		{"nothing exists", []string{"other.test"}, []string{"data-signer.test", "verification.signer.test", "signer.test"}, shuin.CodeUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t, tc.hosts...)
			s.says(http.StatusOK, "", `{"revokedEntities":[]}`)
			_, err := (&Status{s.clients}).RevocationStatus(t.Context(), query(), map[string]string{ConfigEndpoint: "https://signer.test"})
			if shuin.CodeOf(err) != tc.want {
				t.Errorf("%v", err)
			}
			if diff := cmp.Diff(tc.asked, s.requests()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Unknown or bad: see verify.SignerStatus.
func TestWhatTheServiceAnswersIsPassedOnWholeAndUnderstood(t *testing.T) {
	for _, tc := range []struct {
		name    string
		status  int
		header  string
		body    string
		want    shuin.Code
		text    string
		hint    string
		service bool
	}{
		{"denied", 403, "AccessDeniedException", `{"message":"User: x is not authorized to perform: signer:GetRevocationStatus","code":"AccessDeniedException"}`,
			shuin.CodeForbidden, "AWS Signer answers GetRevocationStatus with AccessDeniedException: User: x is not authorized to perform: signer:GetRevocationStatus (HTTP 403, request id request-1)", "allow signer:GetRevocationStatus on arn:aws:signer:eu-west-1:111122223333:/signing-profiles/build/abcdefghij and arn:aws:signer:eu-west-1:111122223333:/signing-jobs/0000", true},
		{"denied without a text, as AWS does", 403, "AccessDeniedException", `{}`, shuin.CodeForbidden, "AccessDeniedException (HTTP 403", "allow signer:GetRevocationStatus", true},
		{"an expired session token", 403, "ExpiredTokenException", `{"message":"The security token included in the request is expired"}`, shuin.CodeUnauthorized, "ExpiredTokenException: The security token", "may have expired", true},
		{"an unknown key, with status 400", 400, "UnrecognizedClientException", `{"message":"unknown"}`, shuin.CodeUnauthorized, "UnrecognizedClientException", "not accepted", true},
		{"throttled", 429, "TooManyRequestsException", `{"message":"slow down"}`, shuin.CodeThrottled, "slow down", "try again later", true},
		{"throttled in the guide's words", 400, "ThrottlingException", `{"message":"Rate exceeded"}`, shuin.CodeThrottled, "Rate exceeded", "", true},
		{"broken", 500, "InternalServiceErrorException", `{"message":"oops"}`, shuin.CodeUnavailable, "oops", "request id", true},
		{"a proxy's page", 502, "", `<html>bad gateway</html>`, shuin.CodeUnavailable, "no error code (HTTP 502", "", true},
		{"a proxy's refusal", 403, "", `<html>no</html>`, shuin.CodeForbidden, "HTTP 403", "", true},
		{"the question is refused", 400, "ValidationException", `{"message":"cross-partition"}`, shuin.CodeMalformed, "ValidationException: cross-partition", "refuses the question", true},
		{"no such thing", 404, "ResourceNotFoundException", `{"message":"none"}`, shuin.CodeMalformed, "none", "", true},
		{"no JSON", 200, "", `<html>`, shuin.CodeMalformed, "ask AWS Signer (GetRevocationStatus)", "", false},
		{"a signature for another host", 403, "InvalidSignatureException", `{"message":"the region us-east-1 is wrong"}`, shuin.CodeUnauthorized, "the region us-east-1 is wrong", "another region or host", true},
		{"another type", 200, "", `{"revokedEntities":"none"}`, shuin.CodeMalformed, "ask AWS Signer", "", false},
		{"endless", 200, "", `{"revokedEntities":["` + strings.Repeat("x", limits.AWSAnswer) + `"]}`, shuin.CodeLimit, "limit AWSAnswer", "", false},
		{"control characters", 403, "AccessDeniedException", `{"message":"a\u001b[31mb"}`, shuin.CodeForbidden, "a [31mb", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t)
			s.says(tc.status, tc.header, tc.body)
			_, err := (&Status{s.clients}).RevocationStatus(t.Context(), query(), nil)
			if shuin.CodeOf(err) != tc.want || !strings.Contains(err.Error(), tc.text) || !strings.Contains(shuin.HintOf(err), tc.hint) {
				t.Errorf("%s: %v\nhint: %s", shuin.CodeOf(err), err, shuin.HintOf(err))
			}
			var service *awscall.ServiceError
			if errors.As(err, &service) != tc.service {
				t.Errorf("a ServiceError: %t", !tc.service)
			}
			noSecret(t, err)
		})
	}
}

func TestAnAnswerThatBreaksOffIsNoAnswer(t *testing.T) {
	s := newService(t)
	s.answer = func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Length", "1000")
		_, _ = out.Write([]byte(`{"revokedEntities":[`))
	}
	_, err := (&Status{s.clients}).RevocationStatus(t.Context(), query(), nil)
	if shuin.CodeOf(err) != shuin.CodeUnavailable || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("%v", err)
	}
}

func TestSettingsThatCannotBeAreNoFaultOfTheNetwork(t *testing.T) {
	s := newService(t)
	t.Setenv("AWS_USE_FIPS_ENDPOINT", "true")
	_, err := (&Status{s.clients}).RevocationStatus(t.Context(), query(), map[string]string{ConfigEndpoint: "https://signer.test"})
	if shuin.CodeOf(err) != shuin.CodeInvalidInput || len(s.requests()) != 0 || !strings.Contains(shuin.HintOf(err), "FIPS") {
		t.Errorf("%v; %s", err, shuin.HintOf(err))
	}
}

func TestWhatWasRevokedIsReturned(t *testing.T) {
	s := newService(t)
	s.says(200, "", `{"revokedEntities":["arn:aws:signer:eu-west-1:111122223333:/signing-jobs/0000","x"],"new":1}`)
	got, err := (&Status{s.clients}).RevocationStatus(t.Context(), query(), nil)
	if diff := cmp.Diff([]string{"arn:aws:signer:eu-west-1:111122223333:/signing-jobs/0000", "x"}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestAnAnswerIsHeldForAWhileAndForThatQuestionOnly(t *testing.T) {
	s := newService(t)
	s.says(200, "", `{"revokedEntities":["x"]}`)
	status := &Status{s.clients}
	ask := func(q awsprofile.StatusQuery, config map[string]string) {
		t.Helper()
		if got, err := status.RevocationStatus(t.Context(), q, config); err != nil || len(got) != 1 {
			t.Fatalf("%v %v", got, err)
		} else {
			got[0] = "changed by the caller"
		}
	}
	ask(query(), nil)
	again := query()
	slices.Reverse(again.CertificateIDs) // a set
	ask(again, nil)
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests for one question", n)
	}
	if got, _ := status.RevocationStatus(t.Context(), query(), nil); got[0] != "x" {
		t.Errorf("what is held was changed: %v", got)
	}
	s.advance(limits.SignerStatusHeld + time.Second)
	if ask(query(), nil); len(s.requests()) != 1 {
		t.Error("what is held is held for ever")
	}
	for name, change := range map[string]func(*awsprofile.StatusQuery){
		"job":         func(q *awsprofile.StatusQuery) { q.Job.ID = "1111" },
		"version":     func(q *awsprofile.StatusQuery) { q.Profile.Version = "ABCDEFGHIJ" },
		"time":        func(q *awsprofile.StatusQuery) { q.SignedAt = q.SignedAt.Add(time.Second) },
		"certificate": func(q *awsprofile.StatusQuery) { q.CertificateIDs = q.CertificateIDs[:1] },
	} {
		s.requests()
		q := query()
		change(&q)
		if ask(q, nil); len(s.requests()) != 1 {
			t.Errorf("another %s is another question", name)
		}
	}
	s.requests()
	if ask(query(), map[string]string{ConfigRegion: "us-east-1", ConfigEndpoint: "https://signer.test"}); len(s.requests()) != 1 {
		t.Error("another region is another signer")
	}
}

func TestASignerThatCannotBeReachedIsAskedOnceForManySignatures(t *testing.T) {
	s := newService(t, "nothing.test")
	status := &Status{s.clients}
	for range 3 {
		q := query()
		q.Job.ID = "other"
		if _, err := status.RevocationStatus(t.Context(), q, nil); shuin.CodeOf(err) != shuin.CodeUnavailable {
			t.Fatal(err)
		}
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
	s.advance(limits.SignerDownHeld)
	if _, err := status.RevocationStatus(t.Context(), query(), nil); err == nil || len(s.requests()) != 1 {
		t.Error("it is not asked again later")
	}
}

func TestFailuresThatMayPassAreRepeatedWithinTheCall(t *testing.T) {
	s := newService(t)
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	n := 0
	s.answer = func(out http.ResponseWriter, _ *http.Request) {
		if n++; n < 3 {
			out.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		out.Header().Set("Content-Type", "application/json")
		_, _ = out.Write([]byte(`{"revokedEntities":[]}`))
	}
	if _, err := (&Status{s.clients}).RevocationStatus(t.Context(), query(), nil); err != nil || n != 3 {
		t.Errorf("%v after %d requests", err, n)
	}
}

func TestTheCallersDeadlineIsToldAsSuch(t *testing.T) {
	s := newService(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	s.answer = func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}
	_, err := (&Status{s.clients}).RevocationStatus(within(t, 50*time.Millisecond), query(), nil)
	if shuin.CodeOf(err) != shuin.CodeDeadline {
		t.Errorf("%v", err)
	}
}

func TestWithoutCredentialsNothingIsSent(t *testing.T) {
	s := newService(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, err := (&Status{s.clients}).RevocationStatus(t.Context(), query(), nil)
	if shuin.CodeOf(err) != shuin.CodeUnauthorized || len(s.requests()) != 0 || !strings.Contains(shuin.HintOf(err), "AWS_PROFILE") {
		t.Errorf("%v; %s", err, shuin.HintOf(err))
	}
}

func TestPluginConfigurationIsReadStrictly(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config map[string]string
		want   Settings
		fault  string
	}{
		{"nothing", nil, Settings{}, ""},
		{"all three", map[string]string{"aws-signer-endpoint-url": "https://h/p", "aws-region": "r", "aws-profile": "p"}, Settings{"r", "p", "https://h/p"}, ""},
		{"another plugin's", map[string]string{"vault": "x", "aws-kms-region": "y"}, Settings{}, ""},
		{"a slip", map[string]string{"aws-signer-endpoint": "https://h"}, Settings{}, "not known"},
		{"in another case", map[string]string{"AWS-Region": "r"}, Settings{}, "not known"},
		{"no scheme", map[string]string{"aws-signer-endpoint-url": "h:80"}, Settings{}, "https://HOST"},
		{"another scheme", map[string]string{"aws-signer-endpoint-url": "ftp://h"}, Settings{}, "https://HOST"},
		{"no host", map[string]string{"aws-signer-endpoint-url": "https://:80"}, Settings{}, "https://HOST"},
		{"a user", map[string]string{"aws-signer-endpoint-url": "https://u:p@h"}, Settings{}, "no user"},
		{"a query", map[string]string{"aws-signer-endpoint-url": "https://h?x"}, Settings{}, "no user"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := SettingsOf(tc.config)
			if tc.fault != "" {
				if shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), tc.fault) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("%v %v", got, err)
			}
		})
	}
}

func TestPlainHTTPBeyondThisMachineIsWarnedOfOnce(t *testing.T) {
	s := newService(t)
	s.says(200, "", `{"revokedEntities":[]}`)
	for _, endpoint := range []string{"http://127.0.0.1:1", "http://localhost:1", "https://signer.test", "http://signer.test", "http://signer.test"} {
		q := query()
		q.Job.ID = endpoint[:4]
		if _, err := (&Status{s.clients}).RevocationStatus(t.Context(), q, map[string]string{ConfigEndpoint: endpoint}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.warned) != 1 || !strings.Contains(s.warned[0], "signer.test is spoken to without TLS") {
		t.Errorf("%q", s.warned)
	}
}
