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

func TestTheOfficialSDKCallsEveryOperation(t *testing.T) {
	ctx := context.Background()
	w := running(t)
	var mu sync.Mutex
	called := map[string]bool{}
	w.server.Observe = func(op, _ string, _ time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		called[op] = true
	}
	c := client(t, w, "admin", w.server.Handler())
	fail := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	put, err := c.PutSigningProfile(ctx, &sdk.PutSigningProfileInput{
		ProfileName: aws.String("build"), PlatformId: aws.String("Notation-OCI-SHA384-ECDSA"), Tags: map[string]string{"team": "a"},
		SignatureValidityPeriod: &types.SignatureValidityPeriod{Type: types.ValidityTypeMonths, Value: 12},
	})
	fail("PutSigningProfile", err)
	got, err := c.GetSigningProfile(ctx, &sdk.GetSigningProfileInput{ProfileName: aws.String("build"), ProfileOwner: aws.String(testAccount)})
	fail("GetSigningProfile", err)
	if *got.Arn != *put.Arn || *got.ProfileVersionArn != *put.ProfileVersionArn || got.Status != types.SigningProfileStatusActive || got.Tags["team"] != "a" || got.SignatureValidityPeriod.Value != 12 {
		t.Errorf("profile %+v", got)
	}
	profiles, err := c.ListSigningProfiles(ctx, &sdk.ListSigningProfilesInput{MaxResults: aws.Int32(5), Statuses: []types.SigningProfileStatus{"Active"}})
	fail("ListSigningProfiles", err)
	if len(profiles.Profiles) != 1 {
		t.Errorf("profiles %+v", profiles)
	}
	signed, err := c.SignPayload(ctx, &sdk.SignPayloadInput{ProfileName: aws.String("build"), Payload: []byte(scriptPayload), PayloadFormat: aws.String(shuin.MediaTypePayload)})
	fail("SignPayload", err)
	if len(signed.Signature) == 0 || signed.Metadata["com.amazonaws.signer.signingProfileVersion"] != *put.ProfileVersionArn {
		t.Errorf("signed %+v", signed.Metadata)
	}
	job, err := c.DescribeSigningJob(ctx, &sdk.DescribeSigningJobInput{JobId: signed.JobId})
	fail("DescribeSigningJob", err)
	if job.Status != types.SigningStatusSucceeded || job.CreatedAt == nil || job.SignatureExpiresAt == nil || *job.RequestedBy != "arn:aws:iam::111122223333:user/admin" {
		t.Errorf("job %+v", job)
	}
	if err := sdk.NewSuccessfulSigningJobWaiter(c).Wait(ctx, &sdk.DescribeSigningJobInput{JobId: signed.JobId}, time.Minute); err != nil {
		t.Errorf("the waiter: %v", err)
	}
	jobs, err := c.ListSigningJobs(ctx, &sdk.ListSigningJobsInput{SignatureExpiresAfter: aws.Time(time.Now()), IsRevoked: false, Status: types.SigningStatusSucceeded})
	fail("ListSigningJobs", err)
	if len(jobs.Jobs) != 1 || jobs.Jobs[0].IsRevoked {
		t.Errorf("jobs %+v", jobs.Jobs)
	}
	ask := &sdk.GetRevocationStatusInput{
		SignatureTimestamp: job.CreatedAt, PlatformId: aws.String("Notation-OCI-SHA384-ECDSA"), ProfileVersionArn: put.ProfileVersionArn,
		JobArn: aws.String(signed.Metadata["com.amazonaws.signer.signingJob"]), CertificateHashes: []string{strings.Repeat("0b", 96), strings.Repeat("0a", 96)},
	}
	status, err := c.GetRevocationStatus(ctx, ask)
	fail("GetRevocationStatus", err)
	if len(status.RevokedEntities) != 0 {
		t.Errorf("revoked %v", status.RevokedEntities)
	}
	_, err = c.RevokeSignature(ctx, &sdk.RevokeSignatureInput{JobId: signed.JobId, Reason: aws.String("a reason")})
	fail("RevokeSignature", err)
	if status, err = c.GetRevocationStatus(ctx, ask); err != nil || len(status.RevokedEntities) != 1 || status.RevokedEntities[0] != *ask.JobArn {
		t.Errorf("after revocation: %+v, %v", status, err)
	}
	added, err := c.AddProfilePermission(ctx, &sdk.AddProfilePermissionInput{ProfileName: aws.String("build"), Action: aws.String("signer:SignPayload"), Principal: aws.String("444455556666"), StatementId: aws.String("s/1 x")})
	if err != nil { // a statement id with a slash may be refused; the plain one may not
		added, err = c.AddProfilePermission(ctx, &sdk.AddProfilePermissionInput{ProfileName: aws.String("build"), Action: aws.String("signer:SignPayload"), Principal: aws.String("444455556666"), StatementId: aws.String("s-1")})
	}
	fail("AddProfilePermission", err)
	permissions, err := c.ListProfilePermissions(ctx, &sdk.ListProfilePermissionsInput{ProfileName: aws.String("build")})
	fail("ListProfilePermissions", err)
	if len(permissions.Permissions) != 1 || *permissions.RevisionId != *added.RevisionId {
		t.Fatalf("permissions %+v", permissions)
	}
	_, err = c.RemoveProfilePermission(ctx, &sdk.RemoveProfilePermissionInput{ProfileName: aws.String("build"), RevisionId: added.RevisionId, StatementId: permissions.Permissions[0].StatementId})
	fail("RemoveProfilePermission", err)
	platform, err := c.GetSigningPlatform(ctx, &sdk.GetSigningPlatformInput{PlatformId: aws.String("Notation-OCI-SHA384-ECDSA")})
	fail("GetSigningPlatform", err)
	if *platform.DisplayName != *got.PlatformDisplayName || *platform.DisplayName != *job.PlatformDisplayName {
		t.Errorf("the platform is %q, of a profile %q, of a job %q", *platform.DisplayName, *got.PlatformDisplayName, *job.PlatformDisplayName)
	}
	platforms, err := c.ListSigningPlatforms(ctx, &sdk.ListSigningPlatformsInput{})
	fail("ListSigningPlatforms", err)
	if len(platforms.Platforms) != 1 || !platforms.Platforms[0].RevocationSupported {
		t.Errorf("platforms %+v", platforms.Platforms)
	}
	_, err = c.TagResource(ctx, &sdk.TagResourceInput{ResourceArn: put.Arn, Tags: map[string]string{"a/b": "c", "d-e": ""}})
	fail("TagResource", err)
	_, err = c.UntagResource(ctx, &sdk.UntagResourceInput{ResourceArn: put.Arn, TagKeys: []string{"a/b", "a-b"}})
	fail("UntagResource", err)
	tags, err := c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: put.Arn})
	fail("ListTagsForResource", err)
	if len(tags.Tags) != 2 || tags.Tags["team"] != "a" {
		t.Errorf("tags %v", tags.Tags)
	}
	_, err = c.StartSigningJob(ctx, &sdk.StartSigningJobInput{ProfileName: aws.String("build"), Source: &types.Source{S3: &types.S3Source{BucketName: aws.String("b"), Key: aws.String("k"), Version: aws.String("1")}}, Destination: &types.Destination{}})
	var invalid *types.ValidationException
	if !errors.As(err, &invalid) || !strings.Contains(*invalid.Message, "SignPayload") {
		t.Errorf("StartSigningJob: %v", err)
	}
	effective := time.Now().Add(-time.Hour).Truncate(time.Second)
	_, err = c.RevokeSigningProfile(ctx, &sdk.RevokeSigningProfileInput{ProfileName: aws.String("build"), ProfileVersion: put.ProfileVersion, Reason: aws.String("r"), EffectiveTime: aws.Time(effective)})
	fail("RevokeSigningProfile", err)
	if got, err = c.GetSigningProfile(ctx, &sdk.GetSigningProfileInput{ProfileName: aws.String("build")}); err != nil || got.RevocationRecord == nil || !got.RevocationRecord.RevocationEffectiveFrom.Equal(effective) {
		t.Errorf("revoked profile %+v, %v", got, err)
	}
	_, err = c.PutSigningProfile(ctx, &sdk.PutSigningProfileInput{ProfileName: aws.String("other"), PlatformId: aws.String("Notation-OCI-SHA384-ECDSA")})
	fail("PutSigningProfile", err)
	_, err = c.CancelSigningProfile(ctx, &sdk.CancelSigningProfileInput{ProfileName: aws.String("other")})
	fail("CancelSigningProfile", err)
	for _, op := range Operations() {
		if !called[op] {
			t.Errorf("%s was not called", op)
		}
	}
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
