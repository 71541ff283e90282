package awssigner

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/aws/aws-sdk-go-v2/service/signer/types"
	"github.com/aws/smithy-go"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/shuintest"
)

// client is the official SDK against the real service over loopback. Every
// name leads to the server, so that host prefixes are tried as they are.
func client(t *testing.T, w *world, name string, handler http.Handler) *sdk.Client {
	t.Helper()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
	}
	transport := &http.Transport{DialContext: dial}
	t.Cleanup(transport.CloseIdleConnections)
	key := w.keys[name]
	return sdk.New(sdk.Options{
		Region: testRegion, BaseEndpoint: aws.String("http://" + testHost),
		Credentials: credentials.NewStaticCredentialsProvider(key.id, key.secret, ""),
		HTTPClient:  &http.Client{Transport: transport},
	})
}

// running is a world on the machine's clock, for the SDK signs by that.
func running(t *testing.T) *world { return newWorld(t, time.Time{}) }

// tour calls operations one after another, each with the last ones' results.
type tour struct {
	t   *testing.T
	ctx context.Context
	c   *sdk.Client
	put *sdk.PutSigningProfileOutput
	got *sdk.GetSigningProfileOutput
	job *sdk.DescribeSigningJobOutput
}

// done ends the test when a call failed.
func (u *tour) done(what string, err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatalf("%s: %v", what, err)
	}
}

func TestTheOfficialSDKCallsEveryOperation(t *testing.T) {
	w := running(t)
	var mu sync.Mutex
	called := map[string]bool{}
	w.server.Observe = func(op, _ string, _ time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		called[op] = true
	}
	u := &tour{t: t, ctx: context.Background(), c: client(t, w, "admin", w.server.Handler())}
	u.makeProfile()
	u.signAndRevoke()
	u.permit()
	u.lookAtPlatforms()
	u.tag()
	u.endProfiles()
	for _, op := range Operations() {
		if !called[op] {
			t.Errorf("%s was not called", op)
		}
	}
}

func (u *tour) makeProfile() {
	var err error
	u.put, err = u.c.PutSigningProfile(u.ctx, &sdk.PutSigningProfileInput{
		ProfileName: aws.String("build"), PlatformId: aws.String("Notation-OCI-SHA384-ECDSA"), Tags: map[string]string{"team": "a"},
		SignatureValidityPeriod: &types.SignatureValidityPeriod{Type: types.ValidityTypeMonths, Value: 12},
	})
	u.done("PutSigningProfile", err)
	u.got, err = u.c.GetSigningProfile(u.ctx, &sdk.GetSigningProfileInput{ProfileName: aws.String("build"), ProfileOwner: aws.String(testAccount)})
	u.done("GetSigningProfile", err)
	if *u.got.Arn != *u.put.Arn || *u.got.ProfileVersionArn != *u.put.ProfileVersionArn || u.got.Status != types.SigningProfileStatusActive || u.got.Tags["team"] != "a" || u.got.SignatureValidityPeriod.Value != 12 {
		u.t.Errorf("profile %+v", u.got)
	}
	profiles, err := u.c.ListSigningProfiles(u.ctx, &sdk.ListSigningProfilesInput{MaxResults: aws.Int32(5), Statuses: []types.SigningProfileStatus{"Active"}})
	u.done("ListSigningProfiles", err)
	if len(profiles.Profiles) != 1 {
		u.t.Errorf("profiles %+v", profiles)
	}
}

func (u *tour) signAndRevoke() {
	signed, err := u.c.SignPayload(u.ctx, &sdk.SignPayloadInput{ProfileName: aws.String("build"), Payload: []byte(scriptPayload), PayloadFormat: aws.String(shuin.MediaTypePayload)})
	u.done("SignPayload", err)
	if len(signed.Signature) == 0 || signed.Metadata["com.amazonaws.signer.signingProfileVersion"] != *u.put.ProfileVersionArn {
		u.t.Errorf("signed %+v", signed.Metadata)
	}
	u.job, err = u.c.DescribeSigningJob(u.ctx, &sdk.DescribeSigningJobInput{JobId: signed.JobId})
	u.done("DescribeSigningJob", err)
	if u.job.Status != types.SigningStatusSucceeded || u.job.CreatedAt == nil || u.job.SignatureExpiresAt == nil || *u.job.RequestedBy != "arn:aws:iam::111122223333:user/admin" {
		u.t.Errorf("job %+v", u.job)
	}
	if err := sdk.NewSuccessfulSigningJobWaiter(u.c).Wait(u.ctx, &sdk.DescribeSigningJobInput{JobId: signed.JobId}, time.Minute); err != nil {
		u.t.Errorf("the waiter: %v", err)
	}
	jobs, err := u.c.ListSigningJobs(u.ctx, &sdk.ListSigningJobsInput{SignatureExpiresAfter: aws.Time(time.Now()), IsRevoked: false, Status: types.SigningStatusSucceeded})
	u.done("ListSigningJobs", err)
	if len(jobs.Jobs) != 1 || jobs.Jobs[0].IsRevoked {
		u.t.Errorf("jobs %+v", jobs.Jobs)
	}
	ask := &sdk.GetRevocationStatusInput{
		SignatureTimestamp: u.job.CreatedAt, PlatformId: aws.String("Notation-OCI-SHA384-ECDSA"), ProfileVersionArn: u.put.ProfileVersionArn,
		JobArn: aws.String(signed.Metadata["com.amazonaws.signer.signingJob"]), CertificateHashes: certificateIDs(u.t, signed.Signature),
	}
	status, err := u.c.GetRevocationStatus(u.ctx, ask)
	u.done("GetRevocationStatus", err)
	if len(status.RevokedEntities) != 0 {
		u.t.Errorf("revoked %v", status.RevokedEntities)
	}
	_, err = u.c.RevokeSignature(u.ctx, &sdk.RevokeSignatureInput{JobId: signed.JobId, Reason: aws.String("a reason")})
	u.done("RevokeSignature", err)
	if status, err = u.c.GetRevocationStatus(u.ctx, ask); err != nil || len(status.RevokedEntities) != 1 || status.RevokedEntities[0] != *ask.JobArn {
		u.t.Errorf("after revocation: %+v, %v", status, err)
	}
}

func (u *tour) permit() {
	added, err := u.c.AddProfilePermission(u.ctx, &sdk.AddProfilePermissionInput{ProfileName: aws.String("build"), Action: aws.String("signer:SignPayload"), Principal: aws.String("444455556666"), StatementId: aws.String("s-1")})
	u.done("AddProfilePermission", err)
	permissions, err := u.c.ListProfilePermissions(u.ctx, &sdk.ListProfilePermissionsInput{ProfileName: aws.String("build")})
	u.done("ListProfilePermissions", err)
	if len(permissions.Permissions) != 1 || *permissions.RevisionId != *added.RevisionId {
		u.t.Fatalf("permissions %+v", permissions)
	}
	_, err = u.c.RemoveProfilePermission(u.ctx, &sdk.RemoveProfilePermissionInput{ProfileName: aws.String("build"), RevisionId: added.RevisionId, StatementId: permissions.Permissions[0].StatementId})
	u.done("RemoveProfilePermission", err)
}

func (u *tour) lookAtPlatforms() {
	platform, err := u.c.GetSigningPlatform(u.ctx, &sdk.GetSigningPlatformInput{PlatformId: aws.String("Notation-OCI-SHA384-ECDSA")})
	u.done("GetSigningPlatform", err)
	if *platform.DisplayName != *u.got.PlatformDisplayName || *platform.DisplayName != *u.job.PlatformDisplayName {
		u.t.Errorf("the platform is %q, of a profile %q, of a job %q", *platform.DisplayName, *u.got.PlatformDisplayName, *u.job.PlatformDisplayName)
	}
	platforms, err := u.c.ListSigningPlatforms(u.ctx, &sdk.ListSigningPlatformsInput{})
	u.done("ListSigningPlatforms", err)
	if len(platforms.Platforms) != 1 || !platforms.Platforms[0].RevocationSupported {
		u.t.Errorf("platforms %+v", platforms.Platforms)
	}
}

func (u *tour) tag() {
	_, err := u.c.TagResource(u.ctx, &sdk.TagResourceInput{ResourceArn: u.put.Arn, Tags: map[string]string{"a/b": "c", "d-e": ""}})
	u.done("TagResource", err)
	_, err = u.c.UntagResource(u.ctx, &sdk.UntagResourceInput{ResourceArn: u.put.Arn, TagKeys: []string{"a/b", "a-b"}})
	u.done("UntagResource", err)
	tags, err := u.c.ListTagsForResource(u.ctx, &sdk.ListTagsForResourceInput{ResourceArn: u.put.Arn})
	u.done("ListTagsForResource", err)
	if len(tags.Tags) != 2 || tags.Tags["team"] != "a" {
		u.t.Errorf("tags %v", tags.Tags)
	}
}

func (u *tour) endProfiles() {
	_, err := u.c.StartSigningJob(u.ctx, &sdk.StartSigningJobInput{ProfileName: aws.String("build"), Source: &types.Source{S3: &types.S3Source{BucketName: aws.String("b"), Key: aws.String("k"), Version: aws.String("1")}}, Destination: &types.Destination{}})
	var invalid *types.ValidationException
	if !errors.As(err, &invalid) || !strings.Contains(*invalid.Message, "SignPayload") {
		u.t.Errorf("StartSigningJob: %v", err)
	}
	effective := time.Now().Add(-time.Hour).Truncate(time.Second)
	_, err = u.c.RevokeSigningProfile(u.ctx, &sdk.RevokeSigningProfileInput{ProfileName: aws.String("build"), ProfileVersion: u.put.ProfileVersion, Reason: aws.String("r"), EffectiveTime: aws.Time(effective)})
	u.done("RevokeSigningProfile", err)
	if u.got, err = u.c.GetSigningProfile(u.ctx, &sdk.GetSigningProfileInput{ProfileName: aws.String("build")}); err != nil || u.got.RevocationRecord == nil || !u.got.RevocationRecord.RevocationEffectiveFrom.Equal(effective) {
		u.t.Errorf("revoked profile %+v, %v", u.got, err)
	}
	_, err = u.c.PutSigningProfile(u.ctx, &sdk.PutSigningProfileInput{ProfileName: aws.String("other"), PlatformId: aws.String("Notation-OCI-SHA384-ECDSA")})
	u.done("PutSigningProfile", err)
	_, err = u.c.CancelSigningProfile(u.ctx, &sdk.CancelSigningProfileInput{ProfileName: aws.String("other")})
	u.done("CancelSigningProfile", err)
}

func TestTheOfficialSDKReadsErrors(t *testing.T) {
	ctx := context.Background()
	w := running(t)
	handler := w.server.Handler()
	admin, ci := client(t, w, "admin", handler), client(t, w, "ci", handler)
	_, err := admin.PutSigningProfile(ctx, &sdk.PutSigningProfileInput{ProfileName: aws.String("build"), PlatformId: aws.String("Notation-OCI-SHA384-ECDSA")})
	if err != nil {
		t.Fatal(err)
	}
	var denied *types.AccessDeniedException
	_, err = ci.GetSigningProfile(ctx, &sdk.GetSigningProfileInput{ProfileName: aws.String("build")})
	if !errors.As(err, &denied) || !strings.Contains(*denied.Message, "signer:GetSigningProfile") || denied.Code == nil {
		t.Errorf("got %v", err)
	}
	var missing *types.ResourceNotFoundException
	_, err = admin.GetSigningProfile(ctx, &sdk.GetSigningProfileInput{ProfileName: aws.String("absent")})
	if !errors.As(err, &missing) || !strings.Contains(*missing.Message, "absent") {
		t.Errorf("got %v", err)
	}
	var untagged *types.NotFoundException
	_, err = admin.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: aws.String(strings.Replace(tagARN, "build", "absent", 1))})
	if !errors.As(err, &untagged) {
		t.Errorf("got %v", err)
	}
	var conflict *types.ConflictException
	_, err = admin.AddProfilePermission(ctx, &sdk.AddProfilePermissionInput{ProfileName: aws.String("build"), Action: aws.String("signer:SignPayload"), Principal: aws.String("444455556666"), StatementId: aws.String("s"), RevisionId: aws.String("old")})
	if !errors.As(err, &conflict) {
		t.Errorf("got %v", err)
	}
	w.keys["wrong"] = accessKey{w.keys["admin"].id, "wrong"}
	var api smithy.APIError
	_, err = client(t, w, "wrong", handler).ListSigningJobs(ctx, &sdk.ListSigningJobsInput{})
	if !errors.As(err, &api) || api.ErrorCode() != "InvalidSignatureException" || !strings.Contains(err.Error(), "RequestID: ") {
		t.Errorf("got %v", err)
	}
}

// HTTP_PROXY=http://SERVER is how the open-source plugin gets its host prefix
// where no name resolves: the request's target is then a whole address.
func TestTheServerAnswersAsItsOwnProxy(t *testing.T) {
	ctx := context.Background()
	w := running(t)
	handler := w.server.Handler()
	var targets []string
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		targets = append(targets, r.RequestURI)
		handler.ServeHTTP(out, r)
	}))
	defer srv.Close()
	proxy, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	key := w.keys["admin"]
	c := sdk.New(sdk.Options{
		Region: testRegion, BaseEndpoint: aws.String("http://" + testHost),
		Credentials: credentials.NewStaticCredentialsProvider(key.id, key.secret, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}},
	})
	_, err = c.GetRevocationStatus(ctx, &sdk.GetRevocationStatusInput{
		SignatureTimestamp: aws.Time(time.Now()), PlatformId: aws.String("Notation-OCI-SHA384-ECDSA"),
		ProfileVersionArn: aws.String(versionARN), JobArn: aws.String(jobARN), CertificateHashes: []string{strings.Repeat("0a", 96)},
	})
	if err != nil || len(targets) != 1 || !strings.HasPrefix(targets[0], "http://data-"+testHost+"/revocations?") {
		t.Errorf("targets %q, %v", targets, err)
	}
}

// A lost answer: the SDK tries again, signed anew under the same invocation
// id, and gets the job that was made.
func TestARetryOfTheOfficialSDKGetsTheSameJob(t *testing.T) {
	ctx := context.Background()
	w := running(t)
	handler := w.server.Handler()
	var lost *httptest.ResponseRecorder
	lossy := http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if lost == nil && r.Method == "POST" {
			lost = httptest.NewRecorder()
			handler.ServeHTTP(lost, r)
			out.WriteHeader(http.StatusBadGateway)
			return
		}
		handler.ServeHTTP(out, r)
	})
	c := client(t, w, "admin", lossy)
	if _, err := c.PutSigningProfile(ctx, &sdk.PutSigningProfileInput{ProfileName: aws.String("build"), PlatformId: aws.String("Notation-OCI-SHA384-ECDSA")}); err != nil {
		t.Fatal(err)
	}
	in := &sdk.SignPayloadInput{ProfileName: aws.String("build"), Payload: []byte(scriptPayload), PayloadFormat: aws.String(shuin.MediaTypePayload)}
	out, err := c.SignPayload(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	if lost == nil || lost.Code != 200 || !strings.Contains(lost.Body.String(), *out.JobId) {
		t.Errorf("job %s, the lost answer was %v", *out.JobId, lost)
	}
	another, err := c.SignPayload(ctx, in)
	if err != nil || *another.JobId == *out.JobId {
		t.Errorf("another call had the same job: %v", err)
	}
}

func TestTheOfficialSDKNamesTheSigningMaterialAndIsToldIt(t *testing.T) {
	w := running(t)
	chain := shuintest.MustChain(shuintest.ChainOptions{Key: shuintest.P384, CAKey: shuintest.P384})
	made, err := w.service.ImportCertificate(t.Context(), "operator", testAccount, chain.DER, chain.Key())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := w.service.ImportCertificate(t.Context(), "operator", "444455556666", chain.DER, chain.Key())
	if err != nil {
		t.Fatal(err)
	}
	u := &tour{t: t, ctx: t.Context(), c: client(t, w, "admin", w.server.Handler())}
	put := func(arn *string) error {
		_, err := u.c.PutSigningProfile(u.ctx, &sdk.PutSigningProfileInput{
			ProfileName: aws.String("build"), PlatformId: aws.String("Notation-OCI-SHA384-ECDSA"), SigningMaterial: &types.SigningMaterial{CertificateArn: arn},
		})
		return err
	}
	for _, arn := range []string{theirs.ARN.String(), strings.Replace(made.ARN.String(), made.ARN.ID, "00000000-0000-4000-8000-000000000000", 1), "x", ""} {
		if invalid, ok := errors.AsType[*types.ValidationException](put(&arn)); !ok || !strings.Contains(invalid.ErrorMessage(), "signingMaterial.certificateArn") {
			t.Errorf("%q: %v", arn, invalid)
		}
	}
	arn := made.ARN.String()
	u.done("PutSigningProfile", put(&arn))
	signed, err := u.c.SignPayload(u.ctx, &sdk.SignPayloadInput{ProfileName: aws.String("build"), Payload: []byte(scriptPayload), PayloadFormat: aws.String(shuin.MediaTypePayload)})
	u.done("SignPayload", err)
	got, err := u.c.GetSigningProfile(u.ctx, &sdk.GetSigningProfileInput{ProfileName: aws.String("build")})
	u.done("GetSigningProfile", err)
	profiles, err := u.c.ListSigningProfiles(u.ctx, &sdk.ListSigningProfilesInput{})
	u.done("ListSigningProfiles", err)
	job, err := u.c.DescribeSigningJob(u.ctx, &sdk.DescribeSigningJobInput{JobId: signed.JobId})
	u.done("DescribeSigningJob", err)
	jobs, err := u.c.ListSigningJobs(u.ctx, &sdk.ListSigningJobsInput{})
	u.done("ListSigningJobs", err)
	for where, m := range map[string]*types.SigningMaterial{
		"GetSigningProfile": got.SigningMaterial, "ListSigningProfiles": profiles.Profiles[0].SigningMaterial,
		"DescribeSigningJob": job.SigningMaterial, "ListSigningJobs": jobs.Jobs[0].SigningMaterial,
	} {
		if m == nil || aws.ToString(m.CertificateArn) != arn {
			t.Errorf("%s: signing material %+v", where, m)
		}
	}
}
