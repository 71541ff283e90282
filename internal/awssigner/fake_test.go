package awssigner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/signing"
)

const (
	testKey     = "AKIAIOSFODNN7EXAMPLE"
	testSecret  = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	testRegion  = "us-west-2"
	testHost    = "signer.example:18080"
	testAccount = "111122223333"
)

var testNow = time.Date(2026, 11, 22, 4, 30, 0, 0, time.UTC)

// fakeService answers every operation with something and remembers the last
// call. It stands for signing.Service where the wire alone is tried.
type fakeService struct {
	mu     sync.Mutex
	calls  int
	op     string
	caller signing.Caller
	in     any
	err    error         // answered to every operation
	auth   error         // answered to Authenticate
	wait   chan struct{} // operations wait for it, if set
	clocks map[string]time.Time
	kept   []time.Time // what SetRequestClock was told
	away   error       // answered to RequestClock and SetRequestClock
	panics bool
}

func (f *fakeService) call(c signing.Caller, op string, in any) error {
	f.mu.Lock()
	f.calls++
	f.op, f.caller, f.in = op, c, in
	wait, err, panics := f.wait, f.err, f.panics
	f.mu.Unlock()
	if wait != nil {
		<-wait
	}
	if panics {
		panic("secret " + testSecret)
	}
	return err
}

var (
	testProfile = awsprofile.Profile{Partition: "aws", Region: testRegion, Account: testAccount, Name: "build", Version: "abcdefghij"}
	testJob     = awsprofile.Job{Partition: "aws", Region: testRegion, Account: testAccount, ID: "7f2c0d9e-0000-4000-8000-000000000001"}
)

func fullJob() signing.Job {
	return signing.Job{
		ARN: testJob, Profile: testProfile, Kind: signing.KindAWS, RequestedBy: "arn:aws:iam::111122223333:user/ci", Invoker: testAccount,
		Created: testNow.Add(1500 * time.Microsecond), Completed: testNow.Add(250 * time.Millisecond), SignedAt: testNow, Expires: testNow.AddDate(11, 3, 0),
		Status:     signing.JobSucceeded,
		Revocation: &signing.JobRevocation{Reason: "leaked", RevokedAt: testNow, RevokedBy: "arn:aws:iam::111122223333:user/root"},
	}
}

func fullProfile() signing.GetSigningProfileOutput {
	return signing.GetSigningProfileOutput{
		Profile: signing.Profile{
			ARN: testProfile, Kind: signing.KindAWS, Validity: signing.Validity{Value: 135, Type: "MONTHS"}, Parameters: map[string]string{"profileKind": "aws"},
			Status: signing.ProfileRevoked, Reason: "why", Revocation: &signing.ProfileRevocation{EffectiveFrom: testNow, RevokedAt: testNow, RevokedBy: "me"},
		},
		Tags: map[string]string{"team": "a"},
	}
}

var testPlatform = signing.Platform{
	PlatformID: awsprofile.PlatformID, DisplayName: signing.PlatformDisplayName, Target: "Notation",
	EncryptionAlgorithm: "ECDSA", HashAlgorithm: "SHA384", RevocationSupported: true,
}

func (f *fakeService) Authenticate(_ context.Context, id string) (signing.Caller, string, error) {
	if f.auth != nil {
		return signing.Caller{}, "", f.auth
	}
	if id != testKey {
		return signing.Caller{}, "", &signing.Error{Fault: signing.FaultAccessDenied, Message: "unknown"}
	}
	return signing.Caller{Account: testAccount, Principal: "arn:aws:iam::111122223333:user/ci"}, testSecret, nil
}

func (f *fakeService) RequestClock(_ context.Context, principal string) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clocks[principal], f.away
}

func (f *fakeService) SetRequestClock(_ context.Context, principal string, at time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return f.away
	}
	if f.clocks == nil {
		f.clocks = map[string]time.Time{}
	}
	f.clocks[principal] = at
	f.kept = append(f.kept, at)
	return nil
}

func (f *fakeService) SignPayload(_ context.Context, c signing.Caller, in signing.SignPayloadInput) (*signing.SignPayloadOutput, error) {
	if err := f.call(c, "SignPayload", in); err != nil {
		return nil, err
	}
	return &signing.SignPayloadOutput{JobID: testJob.ID, JobOwner: testAccount, Metadata: map[string]string{"k": "v"}, Signature: []byte(`{"payload":"x"}`)}, nil
}

func (f *fakeService) PutSigningProfile(_ context.Context, c signing.Caller, in signing.PutSigningProfileInput) (*signing.PutSigningProfileOutput, error) {
	if err := f.call(c, "PutSigningProfile", in); err != nil {
		return nil, err
	}
	return &signing.PutSigningProfileOutput{ARN: testProfile.Unversioned().String(), ProfileVersion: testProfile.Version, ProfileVersionARN: testProfile.String()}, nil
}

func (f *fakeService) GetSigningProfile(_ context.Context, c signing.Caller, in signing.GetSigningProfileInput) (*signing.GetSigningProfileOutput, error) {
	if err := f.call(c, "GetSigningProfile", in); err != nil {
		return nil, err
	}
	out := fullProfile()
	return &out, nil
}

func (f *fakeService) ListSigningProfiles(_ context.Context, c signing.Caller, in signing.ListSigningProfilesInput) (*signing.ListSigningProfilesOutput, error) {
	if err := f.call(c, "ListSigningProfiles", in); err != nil {
		return nil, err
	}
	return &signing.ListSigningProfilesOutput{Profiles: []signing.GetSigningProfileOutput{fullProfile()}, NextToken: "next"}, nil
}

func (f *fakeService) CancelSigningProfile(_ context.Context, c signing.Caller, name string) error {
	return f.call(c, "CancelSigningProfile", name)
}

func (f *fakeService) RevokeSigningProfile(_ context.Context, c signing.Caller, in signing.RevokeSigningProfileInput) error {
	return f.call(c, "RevokeSigningProfile", in)
}

func (f *fakeService) RevokeSignature(_ context.Context, c signing.Caller, in signing.RevokeSignatureInput) error {
	return f.call(c, "RevokeSignature", in)
}

func (f *fakeService) DescribeSigningJob(_ context.Context, c signing.Caller, id string) (*signing.Job, error) {
	if err := f.call(c, "DescribeSigningJob", id); err != nil {
		return nil, err
	}
	j := fullJob()
	return &j, nil
}

func (f *fakeService) ListSigningJobs(_ context.Context, c signing.Caller, in signing.ListSigningJobsInput) (*signing.ListSigningJobsOutput, error) {
	if err := f.call(c, "ListSigningJobs", in); err != nil {
		return nil, err
	}
	return &signing.ListSigningJobsOutput{Jobs: []signing.Job{fullJob()}, NextToken: "next"}, nil
}

func (f *fakeService) AddProfilePermission(_ context.Context, c signing.Caller, in signing.AddProfilePermissionInput) (string, error) {
	return "rev", f.call(c, "AddProfilePermission", in)
}

func (f *fakeService) ListProfilePermissions(_ context.Context, c signing.Caller, in signing.ListProfilePermissionsInput) (*signing.ListProfilePermissionsOutput, error) {
	if err := f.call(c, "ListProfilePermissions", in); err != nil {
		return nil, err
	}
	return &signing.ListProfilePermissionsOutput{RevisionID: "rev", PolicySizeBytes: 7, Permissions: []signing.Permission{{StatementID: "s", Action: "signer:SignPayload", Principal: testAccount}}}, nil
}

func (f *fakeService) RemoveProfilePermission(_ context.Context, c signing.Caller, in signing.RemoveProfilePermissionInput) (string, error) {
	return "rev", f.call(c, "RemoveProfilePermission", in)
}

func (f *fakeService) GetRevocationStatus(_ context.Context, c signing.Caller, in signing.GetRevocationStatusInput) (*signing.GetRevocationStatusOutput, error) {
	if err := f.call(c, "GetRevocationStatus", in); err != nil {
		return nil, err
	}
	return &signing.GetRevocationStatusOutput{}, nil
}

func (f *fakeService) GetSigningPlatform(_ context.Context, c signing.Caller, id string) (*signing.Platform, error) {
	if err := f.call(c, "GetSigningPlatform", id); err != nil {
		return nil, err
	}
	p := testPlatform
	return &p, nil
}

func (f *fakeService) ListSigningPlatforms(_ context.Context, c signing.Caller, in signing.ListSigningPlatformsInput) (*signing.ListSigningPlatformsOutput, error) {
	if err := f.call(c, "ListSigningPlatforms", in); err != nil {
		return nil, err
	}
	return &signing.ListSigningPlatformsOutput{Platforms: []signing.Platform{testPlatform}}, nil
}

// tagCall is what the tag operations were called with.
type tagCall struct {
	ARN  string
	Tags map[string]string
	Keys []string
}

func (f *fakeService) TagResource(_ context.Context, c signing.Caller, arn string, tags map[string]string) error {
	return f.call(c, "TagResource", tagCall{ARN: arn, Tags: tags})
}

func (f *fakeService) UntagResource(_ context.Context, c signing.Caller, arn string, keys []string) error {
	return f.call(c, "UntagResource", tagCall{ARN: arn, Keys: keys})
}

func (f *fakeService) ListTagsForResource(_ context.Context, c signing.Caller, arn string) (map[string]string, error) {
	if err := f.call(c, "ListTagsForResource", tagCall{ARN: arn}); err != nil {
		return nil, err
	}
	return map[string]string{"team": "a"}, nil
}

func (f *fakeService) StartSigningJob(_ context.Context, c signing.Caller, name string) error {
	return f.call(c, "StartSigningJob", name)
}

// bench is a door on a fake service with a clock and a log to look at.
type bench struct {
	t       testing.TB
	fake    *fakeService
	server  *Server
	handler http.Handler
	log     *syncBuffer
	mu      sync.Mutex
	now     time.Time
	seen    []string // what Observe was told
	nonce   int
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newBench(t testing.TB, change ...func(*Server)) *bench {
	b := &bench{t: t, fake: &fakeService{}, log: &syncBuffer{}, now: testNow}
	b.server = &Server{
		Service: b.fake, Region: testRegion, Host: testHost, Now: b.clock,
		Log: slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observe: func(op, code string, _ time.Duration) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.seen = append(b.seen, op+" "+code)
		},
	}
	for _, c := range change {
		c(b.server)
	}
	b.handler = b.server.Handler()
	return b
}

func (b *bench) clock() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }

func (b *bench) pass(d time.Duration) { b.mu.Lock(); b.now = b.now.Add(d); b.mu.Unlock() }

// signedRequest is a request as a Go SDK would sign it now.
func (b *bench) signedRequest(method, target, body string, header ...string) *http.Request {
	r := b.unsigned(method, target, body, header...)
	b.sign(r, body)
	return r
}

func (b *bench) unsigned(method, target, body string, header ...string) *http.Request {
	if strings.HasPrefix(target, "/") {
		target = "http://" + testHost + target
	}
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	b.nonce++
	r.Header.Set("Amz-Sdk-Invocation-Id", fmt.Sprintf("invocation-%d", b.nonce))
	for i := 0; i < len(header); i += 2 {
		r.Header.Del(header[i])
		if header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	return r
}

func (b *bench) sign(r *http.Request, body string) {
	b.signAs(r, body, testKey, testSecret, testRegion, serviceName, b.clock())
}

func (b *bench) signAs(r *http.Request, body, key, secret, region, service string, at time.Time) {
	b.t.Helper()
	sum := sha256.Sum256([]byte(body))
	c := aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}
	if err := v4.NewSigner().SignHTTP(context.Background(), c, r, hex.EncodeToString(sum[:]), service, region, at); err != nil {
		b.t.Fatal(err)
	}
}

// again is the same request with a fresh body.
func again(r *http.Request, body string) *http.Request {
	c := r.Clone(context.Background())
	c.Body = io.NopCloser(strings.NewReader(body))
	return c
}

func (b *bench) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

// call signs and sends.
func (b *bench) call(method, target, body string, header ...string) *httptest.ResponseRecorder {
	return b.send(b.signedRequest(method, target, body, header...))
}
