package client

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/signer"
	"github.com/aws/aws-sdk-go-v2/service/signer/types"
	"github.com/aws/smithy-go"
)

// Run goes through the API. prefix is what this version of the SDK puts
// before the host of GetRevocationStatus.
func Run(t *testing.T, prefix string) {
	w := newWorld(t)
	t.Run("platforms", w.platforms)
	t.Run("profiles", w.profiles)
	t.Run("signatures and their revocation", func(t *testing.T) { w.signatures(t, prefix) })
	t.Run("a certificate for each signature", func(t *testing.T) { w.standard(t) })
	t.Run("jobs page by page", w.jobs)
	t.Run("a retry gets the same job", w.retry)
	t.Run("permissions", w.permissions)
	t.Run("tags", w.tags)
	t.Run("errors have their types and texts", w.errors)
	t.Run("the end of profiles", w.ends)
}

func (w *world) platforms(t *testing.T) {
	got := must[*signer.GetSigningPlatformOutput](t, "get platform")(w.client.GetSigningPlatform(t.Context(), &signer.GetSigningPlatformInput{PlatformId: aws.String(platform)}))
	if aws.ToString(got.PlatformId) != platform || !got.RevocationSupported || aws.ToString(got.DisplayName) == "" {
		t.Errorf("platform %+v", got)
	}
	var ids []string
	pages := signer.NewListSigningPlatformsPaginator(w.client, &signer.ListSigningPlatformsInput{MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		page := must[*signer.ListSigningPlatformsOutput](t, "list platforms")(pages.NextPage(t.Context()))
		for _, p := range page.Platforms {
			ids = append(ids, aws.ToString(p.PlatformId))
		}
	}
	if !has(ids, platform) {
		t.Errorf("platforms %q", ids)
	}
}

func (w *world) put(t *testing.T, name string, parameters map[string]string) *signer.PutSigningProfileOutput {
	t.Helper()
	return must[*signer.PutSigningProfileOutput](t, "put profile")(w.client.PutSigningProfile(t.Context(), &signer.PutSigningProfileInput{
		ProfileName: aws.String(name), PlatformId: aws.String(platform), SigningParameters: parameters,
		SignatureValidityPeriod: &types.SignatureValidityPeriod{Type: types.ValidityTypeMonths, Value: 135},
		Tags:                    map[string]string{"team": "shop"},
	}))
}

func (w *world) profiles(t *testing.T) {
	var want []string
	for _, n := range []string{"a", "b", "c"} {
		name := w.name + "_list_" + n
		put := w.put(t, name, nil)
		arn := w.profileARN(name)
		if aws.ToString(put.Arn) != arn || len(aws.ToString(put.ProfileVersion)) != 10 || aws.ToString(put.ProfileVersionArn) != arn+"/"+aws.ToString(put.ProfileVersion) {
			t.Errorf("put: %s %s %s", aws.ToString(put.Arn), aws.ToString(put.ProfileVersion), aws.ToString(put.ProfileVersionArn))
		}
		got := must[*signer.GetSigningProfileOutput](t, "get profile")(w.client.GetSigningProfile(t.Context(), &signer.GetSigningProfileInput{ProfileName: aws.String(name)}))
		if got.Status != types.SigningProfileStatusActive || got.Tags["team"] != "shop" || aws.ToString(got.ProfileVersion) != aws.ToString(put.ProfileVersion) ||
			got.SignatureValidityPeriod.Value != 135 || got.SignatureValidityPeriod.Type != types.ValidityTypeMonths {
			t.Errorf("get: %+v", got)
		}
		want = append(want, name)
	}
	var names []string
	calls := 0
	pages := signer.NewListSigningProfilesPaginator(w.client, &signer.ListSigningProfilesInput{MaxResults: aws.Int32(1), PlatformId: aws.String(platform)})
	for pages.HasMorePages() {
		page := must[*signer.ListSigningProfilesOutput](t, "list profiles")(pages.NextPage(t.Context()))
		calls++
		for _, p := range page.Profiles {
			names = append(names, aws.ToString(p.ProfileName))
		}
	}
	for _, name := range want {
		if !has(names, name) {
			t.Errorf("%s is not among %q", name, names)
		}
	}
	if calls < len(want) || len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
		t.Errorf("%d pages, names %q", calls, names)
	}
}

func (w *world) sign(t *testing.T, profile string, n int) (*signer.SignPayloadOutput, *signature) {
	t.Helper()
	payload := descriptor(n)
	out := must[*signer.SignPayloadOutput](t, "sign")(w.client.SignPayload(t.Context(), &signer.SignPayloadInput{
		ProfileName: aws.String(profile), Payload: payload, PayloadFormat: aws.String(payloadFormat), ProfileOwner: aws.String(w.account),
	}))
	s, err := parse(out.Signature)
	if err != nil {
		t.Fatalf("envelope: %v\n%s", err, out.Signature)
	}
	if !bytes.Equal(s.payload, payload) {
		t.Errorf("another payload was signed: %s", s.payload)
	}
	if aws.ToString(out.JobOwner) != w.account || aws.ToString(out.JobId) == "" || len(out.Metadata) != 2 {
		t.Errorf("job %s of %s, metadata %v", aws.ToString(out.JobId), aws.ToString(out.JobOwner), out.Metadata)
	}
	return out, s
}

func (w *world) status(t *testing.T, profileVersion, job string, s *signature) []string {
	t.Helper()
	return must[*signer.GetRevocationStatusOutput](t, "revocation status")(w.client.GetRevocationStatus(t.Context(), &signer.GetRevocationStatusInput{
		PlatformId: aws.String(platform), ProfileVersionArn: aws.String(profileVersion), JobArn: aws.String(job),
		SignatureTimestamp: aws.Time(s.signedAt), CertificateHashes: s.certificateIDs(),
	})).RevokedEntities
}

func (w *world) signatures(t *testing.T, prefix string) {
	name := w.name + "_aws"
	version := aws.ToString(w.put(t, name, nil).ProfileVersionArn)
	out, s := w.sign(t, name, 1)
	job := w.jobARN(aws.ToString(out.JobId))
	want := []string{
		"com.amazonaws.signer.signingJob", "com.amazonaws.signer.signingProfileVersion", "io.cncf.notary.authenticSigningTime",
		"io.cncf.notary.expiry", "io.cncf.notary.signingScheme", "io.cncf.notary.verificationPlugin",
	}
	if !slices.Equal(s.critical, want) || s.attributes[want[0]] != job || s.attributes[want[1]] != version {
		t.Errorf("critical attributes %q: %v", s.critical, s.attributes)
	}
	if months := s.expiry.Sub(s.signedAt).Hours() / 24 / 30.4; months < 134 || months > 136 {
		t.Errorf("good for %.1f months", months)
	}
	_, again := w.sign(t, name, 2)
	if !again.chain[0].Equal(s.chain[0]) {
		t.Error("a new certificate for each signature")
	}
	if got := w.status(t, version, job, s); len(got) != 0 {
		t.Errorf("revoked: %q", got)
	}
	if hosts := w.wire.askedHosts("GET /revocations"); !isPrefixed(hosts, prefix, w.endpoint) {
		t.Errorf("revocation was asked of %q: this SDK does not put %q before the host", hosts, prefix)
	}
	done, err := signer.NewSuccessfulSigningJobWaiter(w.client).WaitForOutput(t.Context(), &signer.DescribeSigningJobInput{JobId: out.JobId}, 10*time.Second)
	if err != nil {
		t.Fatalf("wait for the job: %v", err)
	}
	if done.Status != types.SigningStatusSucceeded || aws.ToString(done.ProfileName) != name || !strings.HasSuffix(version, "/"+aws.ToString(done.ProfileVersion)) ||
		done.CreatedAt == nil || done.CompletedAt == nil || !done.SignatureExpiresAt.Equal(s.expiry) || done.RevocationRecord != nil {
		t.Errorf("job %+v", done)
	}
	must[*signer.RevokeSignatureOutput](t, "revoke")(w.client.RevokeSignature(t.Context(), &signer.RevokeSignatureInput{JobId: out.JobId, Reason: aws.String("key seen in a log")}))
	if got := w.status(t, version, job, s); !has(got, job) {
		t.Errorf("after its revocation: %q", got)
	}
	after := must[*signer.DescribeSigningJobOutput](t, "describe")(w.client.DescribeSigningJob(t.Context(), &signer.DescribeSigningJobInput{JobId: out.JobId}))
	if after.RevocationRecord == nil || aws.ToString(after.RevocationRecord.Reason) != "key seen in a log" || after.RevocationRecord.RevokedAt == nil {
		t.Errorf("revocation record %+v", after.RevocationRecord)
	}
}

func (w *world) standard(t *testing.T) {
	name := w.name + "_standard"
	version := aws.ToString(w.put(t, name, map[string]string{"profileKind": "standard"}).ProfileVersionArn)
	_, a := w.sign(t, name, 3)
	_, b := w.sign(t, name, 4)
	if a.chain[0].Equal(b.chain[0]) || !a.chain[1].Equal(b.chain[1]) {
		t.Error("not a certificate for each signature by one issuing CA")
	}
	leaf := a.chain[0]
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != version || leaf.Subject.CommonName != name || !slices.Equal(leaf.Subject.OrganizationalUnit, []string{w.account}) ||
		len(leaf.CRLDistributionPoints) != 1 || len(leaf.OCSPServer) != 0 {
		t.Errorf("leaf %s, URIs %v, CRL %v", leaf.Subject, leaf.URIs, leaf.CRLDistributionPoints)
	}
	if slices.ContainsFunc(a.critical, func(n string) bool { return strings.HasPrefix(n, "com.amazonaws") || strings.Contains(n, "Plugin") }) {
		t.Errorf("critical attributes %q need a plugin", a.critical)
	}
}

func (w *world) jobs(t *testing.T) {
	name := w.name + "_jobs"
	w.put(t, name, nil)
	var want []string
	for n := range 5 {
		out, _ := w.sign(t, name, 10+n)
		want = append(want, aws.ToString(out.JobId))
	}
	var got []string
	pages := signer.NewListSigningJobsPaginator(w.client, &signer.ListSigningJobsInput{MaxResults: aws.Int32(2), Status: types.SigningStatusSucceeded, PlatformId: aws.String(platform)})
	for pages.HasMorePages() {
		page := must[*signer.ListSigningJobsOutput](t, "list jobs")(pages.NextPage(t.Context()))
		for _, j := range page.Jobs {
			if aws.ToString(j.ProfileName) == name {
				got = append(got, aws.ToString(j.JobId))
			}
		}
	}
	slices.Reverse(want) // newest first
	if !slices.Equal(got, want) {
		t.Errorf("jobs %q, want %q", got, want)
	}
	must[*signer.RevokeSignatureOutput](t, "revoke")(w.client.RevokeSignature(t.Context(), &signer.RevokeSignatureInput{JobId: aws.String(want[1]), Reason: aws.String("x")}))
	revoked := must[*signer.ListSigningJobsOutput](t, "list revoked")(w.client.ListSigningJobs(t.Context(), &signer.ListSigningJobsInput{IsRevoked: true}))
	if !slices.ContainsFunc(revoked.Jobs, func(j types.SigningJob) bool { return aws.ToString(j.JobId) == want[1] && j.IsRevoked }) ||
		slices.ContainsFunc(revoked.Jobs, func(j types.SigningJob) bool { return aws.ToString(j.JobId) == want[0] }) {
		t.Errorf("revoked jobs %+v", revoked.Jobs)
	}
}

// retry loses the answer to a signature: the SDK asks again, and gets the
// signature that was made.
func (w *world) retry(t *testing.T) {
	name := w.name + "_retry"
	w.put(t, name, nil)
	w.wire.lose("/signing-jobs/with-payload")
	out, _ := w.sign(t, name, 20)
	if w.wire.lostAnswers() != 1 {
		t.Fatal("no answer was lost")
	}
	var ids []string
	list := must[*signer.ListSigningJobsOutput](t, "list jobs")(w.client.ListSigningJobs(t.Context(), &signer.ListSigningJobsInput{}))
	for _, j := range list.Jobs {
		if aws.ToString(j.ProfileName) == name {
			ids = append(ids, aws.ToString(j.JobId))
		}
	}
	if !slices.Equal(ids, []string{aws.ToString(out.JobId)}) {
		t.Errorf("jobs %q, the one returned is %s", ids, aws.ToString(out.JobId))
	}
}

func (w *world) permissions(t *testing.T) {
	name := aws.String(w.name + "_permissions")
	w.put(t, *name, nil)
	added := must[*signer.AddProfilePermissionOutput](t, "add permission")(w.client.AddProfilePermission(t.Context(), &signer.AddProfilePermissionInput{
		ProfileName: name, Action: aws.String("signer:SignPayload"), Principal: aws.String("444455556666"), StatementId: aws.String("other"),
	}))
	listed := must[*signer.ListProfilePermissionsOutput](t, "list permissions")(w.client.ListProfilePermissions(t.Context(), &signer.ListProfilePermissionsInput{ProfileName: name}))
	if len(listed.Permissions) != 1 || aws.ToString(listed.Permissions[0].Principal) != "444455556666" || aws.ToString(listed.RevisionId) != aws.ToString(added.RevisionId) {
		t.Errorf("permissions %+v, revision %s", listed.Permissions, aws.ToString(listed.RevisionId))
	}
	_, err := w.client.RemoveProfilePermission(t.Context(), &signer.RemoveProfilePermissionInput{ProfileName: name, StatementId: aws.String("other"), RevisionId: aws.String("00000000-0000-0000-0000-000000000000")})
	var conflict *types.ConflictException
	if !errors.As(err, &conflict) || conflict.ErrorMessage() == "" {
		t.Errorf("an old revision: %v", err)
	}
	must[*signer.RemoveProfilePermissionOutput](t, "remove permission")(w.client.RemoveProfilePermission(t.Context(), &signer.RemoveProfilePermissionInput{ProfileName: name, StatementId: aws.String("other"), RevisionId: added.RevisionId}))
}

func (w *world) tags(t *testing.T) {
	arn := w.put(t, w.name+"_tags", nil).Arn
	must[*signer.TagResourceOutput](t, "tag")(w.client.TagResource(t.Context(), &signer.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"stage": "build", "cost/center": "a=b"}}))
	must[*signer.UntagResourceOutput](t, "untag")(w.client.UntagResource(t.Context(), &signer.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"team", "stage"}}))
	got := must[*signer.ListTagsForResourceOutput](t, "list tags")(w.client.ListTagsForResource(t.Context(), &signer.ListTagsForResourceInput{ResourceArn: arn}))
	if len(got.Tags) != 1 || got.Tags["cost/center"] != "a=b" {
		t.Errorf("tags %v", got.Tags)
	}
	_, err := w.client.ListTagsForResource(t.Context(), &signer.ListTagsForResourceInput{ResourceArn: aws.String(w.profileARN(w.name + "_nowhere"))})
	var gone *types.NotFoundException
	if !errors.As(err, &gone) || gone.ErrorMessage() == "" {
		t.Errorf("tags of no profile: %v", err)
	}
}

func (w *world) errors(t *testing.T) {
	sign := func(c *signer.Client, profile string, payload []byte, format string) error {
		_, err := c.SignPayload(t.Context(), &signer.SignPayloadInput{ProfileName: aws.String(profile), Payload: payload, PayloadFormat: aws.String(format)})
		return err
	}
	name := w.name + "_aws"
	checks := []struct {
		what, code string
		err        error
		is         func(error) (string, bool)
	}{
		{"an unknown profile", "ResourceNotFoundException", sign(w.client, w.name+"_nowhere", descriptor(1), payloadFormat), typed[*types.ResourceNotFoundException]},
		{"a payload that is no descriptor", "ValidationException", sign(w.client, name, []byte(`{"targetArtifact":{}}`), payloadFormat), typed[*types.ValidationException]},
		{"a payload of more than 4096 bytes", "ValidationException", sign(w.client, name, bytes.Repeat([]byte(" "), 4097), payloadFormat), typed[*types.ValidationException]},
		{"another format", "ValidationException", sign(w.client, name, descriptor(1), "text/plain"), typed[*types.ValidationException]},
		{"a wrong secret", "", sign(w.newClient(setting(t, envKey), "wrong"), name, descriptor(1), payloadFormat), typed[smithy.APIError]},
		{"an unknown access key", "", sign(w.newClient("AKIAIOSFODNN7EXAMPLE", "wrong"), name, descriptor(1), payloadFormat), typed[smithy.APIError]},
	}
	_, err := w.client.StartSigningJob(t.Context(), &signer.StartSigningJobInput{
		ProfileName: aws.String(name),
		Source:      &types.Source{S3: &types.S3Source{BucketName: aws.String("b"), Key: aws.String("k"), Version: aws.String("v")}},
		Destination: &types.Destination{S3: &types.S3Destination{BucketName: aws.String("b")}},
	})
	checks = append(checks, struct {
		what, code string
		err        error
		is         func(error) (string, bool)
	}{"a job on S3", "ValidationException", err, typed[*types.ValidationException]})
	for _, c := range checks {
		message, ok := c.is(c.err)
		var api smithy.APIError
		var answer *awshttp.ResponseError
		switch {
		case !ok || !errors.As(c.err, &api) || message == "":
			t.Errorf("%s: %v (message %q)", c.what, c.err, message)
		case c.code != "" && api.ErrorCode() != c.code:
			t.Errorf("%s: code %s", c.what, api.ErrorCode())
		case !errors.As(c.err, &answer) || answer.ServiceRequestID() == "":
			t.Errorf("%s: no request id", c.what)
		}
	}
}

// typed is the message of an error of type E.
func typed[E smithy.APIError](err error) (message string, ok bool) {
	var e E
	if !errors.As(err, &e) {
		return "", false
	}
	return e.ErrorMessage(), true
}

func (w *world) ends(t *testing.T) {
	name := w.name + "_ends"
	put := w.put(t, name, nil)
	out, s := w.sign(t, name, 30)
	must[*signer.RevokeSigningProfileOutput](t, "revoke profile")(w.client.RevokeSigningProfile(t.Context(), &signer.RevokeSigningProfileInput{
		ProfileName: aws.String(name), ProfileVersion: put.ProfileVersion, Reason: aws.String("runner was taken over"), EffectiveTime: aws.Time(s.signedAt.Add(-time.Second)),
	}))
	version := aws.ToString(put.ProfileVersionArn)
	if got := w.status(t, version, w.jobARN(aws.ToString(out.JobId)), s); !has(got, version) {
		t.Errorf("signed after the effective time: %q", got)
	}
	before := *s
	before.signedAt = s.signedAt.Add(-time.Hour)
	if got := w.status(t, version, w.jobARN(aws.ToString(out.JobId)), &before); has(got, version) {
		t.Errorf("signed before the effective time: %q", got)
	}
	_, err := w.client.SignPayload(t.Context(), &signer.SignPayloadInput{ProfileName: aws.String(name), Payload: descriptor(31), PayloadFormat: aws.String(payloadFormat)})
	if message, ok := typed[smithy.APIError](err); !ok || message == "" {
		t.Errorf("signed with a revoked profile: %v", err)
	}
	got := must[*signer.GetSigningProfileOutput](t, "get profile")(w.client.GetSigningProfile(t.Context(), &signer.GetSigningProfileInput{ProfileName: aws.String(name)}))
	if got.Status != types.SigningProfileStatusRevoked || got.RevocationRecord == nil || got.RevocationRecord.RevocationEffectiveFrom == nil {
		t.Errorf("profile %s %+v", got.Status, got.RevocationRecord)
	}
	cancelled := w.name + "_cancelled"
	w.put(t, cancelled, nil)
	must[*signer.CancelSigningProfileOutput](t, "cancel")(w.client.CancelSigningProfile(t.Context(), &signer.CancelSigningProfileInput{ProfileName: aws.String(cancelled)}))
	for _, include := range []bool{false, true} {
		var names []string
		pages := signer.NewListSigningProfilesPaginator(w.client, &signer.ListSigningProfilesInput{IncludeCanceled: include})
		for pages.HasMorePages() {
			for _, p := range must[*signer.ListSigningProfilesOutput](t, "list profiles")(pages.NextPage(t.Context())).Profiles {
				names = append(names, aws.ToString(p.ProfileName))
			}
		}
		if has(names, cancelled) != include {
			t.Errorf("cancelled profiles included %v: %q", include, names)
		}
	}
}
