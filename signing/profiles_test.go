package signing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

func putInput(name string) PutSigningProfileInput {
	return PutSigningProfileInput{ProfileName: name, PlatformID: awsprofile.PlatformID}
}

func TestPutSigningProfileMakesVersions(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	in := putInput("build")
	in.Tags = map[string]string{"team": "a"}
	first, err := w.PutSigningProfile(ctx, admin(ours), in)
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/build"; first.ARN != want || first.ProfileVersionARN != want+"/"+first.ProfileVersion || !awsprofile.ValidVersion(first.ProfileVersion) {
		t.Errorf("made %+v", first)
	}
	if e := w.last(); e.Kind != audit.ProfileChange || e.ProfileVersion != first.ProfileVersionARN || e.Principal != admin(ours).Principal {
		t.Errorf("logged %+v", e)
	}
	old := w.sign("build")
	in.Tags, in.Validity = map[string]string{"stage": "b"}, &Validity{Value: 3, Type: "DAYS"}
	second, err := w.PutSigningProfile(ctx, admin(ours), in)
	if err != nil || second.ProfileVersion == first.ProfileVersion || second.ARN != first.ARN {
		t.Fatalf("a second version: %+v, %v", second, err)
	}
	got, err := w.GetSigningProfile(ctx, admin(ours), GetSigningProfileInput{ProfileName: "build"})
	if err != nil {
		t.Fatal(err)
	}
	if p := got.Profile; p.ARN.String() != second.ProfileVersionARN || p.Validity.Value != 3 || p.Status != ProfileActive || p.Kind != KindAWS {
		t.Errorf("got %+v", p)
	}
	if diff := cmp.Diff(map[string]string{"team": "a", "stage": "b"}, got.Tags); diff != "" {
		t.Error(diff)
	}
	// The old version's signature stays as good as it was.
	out := w.status(w.job(old.JobID))
	if len(out) != 0 {
		t.Errorf("revoked %v", out)
	}
	if j := w.job(w.sign("build").JobID); j.Profile.String() != second.ProfileVersionARN || !j.Expires.Equal(j.SignedAt.AddDate(0, 0, 3)) {
		t.Errorf("signed with %+v", j)
	}
}

func TestPutSigningProfileRefuses(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name  string
		alter func(w *world, c *Caller, in *PutSigningProfileInput)
		fault Fault
		text  string
	}{
		{"a name with a dash", func(_ *world, _ *Caller, in *PutSigningProfileInput) { in.ProfileName = "a-b" }, FaultValidation, "profileName"},
		{"a name of one letter", func(_ *world, _ *Caller, in *PutSigningProfileInput) { in.ProfileName = "a" }, FaultValidation, "profileName"},
		{"no platform", func(_ *world, _ *Caller, in *PutSigningProfileInput) { in.PlatformID = "" }, FaultValidation, "platformId is missing"},
		{"another platform", func(_ *world, _ *Caller, in *PutSigningProfileInput) { in.PlatformID = "AWSLambda-SHA384-ECDSA" }, FaultValidation, "AWSLambda-SHA384-ECDSA"},
		{"signing material", func(_ *world, _ *Caller, in *PutSigningProfileInput) { in.SigningMaterial = &SigningMaterial{} }, FaultValidation, "signingMaterial"},
		{"overrides", func(_ *world, _ *Caller, in *PutSigningProfileInput) { in.Overrides = true }, FaultValidation, "overrides"},
		{"no validity", func(_ *world, _ *Caller, in *PutSigningProfileInput) { in.Validity = &Validity{Value: 0, Type: "DAYS"} }, FaultValidation, "at least 1 day"},
		{"136 months", func(_ *world, _ *Caller, in *PutSigningProfileInput) {
			in.Validity = &Validity{Value: 136, Type: "MONTHS"}
		}, FaultValidation, "135 months"},
		{"12 years", func(_ *world, _ *Caller, in *PutSigningProfileInput) {
			in.Validity = &Validity{Value: 12, Type: "YEARS"}
		}, FaultValidation, "135 months"},
		{"a day more than 135 months", func(_ *world, _ *Caller, in *PutSigningProfileInput) {
			in.Validity = &Validity{Value: 1 + int(worldStart.AddDate(0, 135, 0).Sub(worldStart)/day), Type: "DAYS"}
		}, FaultValidation, "135 months"},
		{"years without end", func(_ *world, _ *Caller, in *PutSigningProfileInput) {
			in.Validity = &Validity{Value: 1 << 62, Type: "YEARS"}
		}, FaultValidation, "135 months"},
		{"weeks", func(_ *world, _ *Caller, in *PutSigningProfileInput) {
			in.Validity = &Validity{Value: 1, Type: "WEEKS"}
		}, FaultValidation, "enum value set"},
		{"an unknown parameter", func(_ *world, _ *Caller, in *PutSigningProfileInput) { in.Parameters = map[string]string{"x": "y"} }, FaultValidation, `"x" is not known`},
		{"an unknown kind", func(_ *world, _ *Caller, in *PutSigningProfileInput) {
			in.Parameters = map[string]string{ParameterKind: "AWS"}
		}, FaultValidation, "profileKind"},
		{"the standard kind without an address for CRLs", func(w *world, _ *Caller, in *PutSigningProfileInput) {
			w.CRLBase, in.Parameters = nil, map[string]string{ParameterKind: "standard"}
		}, FaultValidation, "CRL"},
		{"bad tags", func(_ *world, _ *Caller, in *PutSigningProfileInput) { in.Tags = map[string]string{"aws:x": ""} }, FaultValidation, "reserved"},
		{"a name that differs in letter case", func(w *world, _ *Caller, in *PutSigningProfileInput) { in.ProfileName = "TAKEN" }, FaultValidation, "letter case"},
		{"a canceled name", func(w *world, _ *Caller, in *PutSigningProfileInput) {
			in.ProfileName = "taken"
			if err := w.CancelSigningProfile(ctx, admin(ours), "taken"); err != nil {
				w.t.Fatal(err)
			}
		}, FaultValidation, "taken is Canceled"},
		{"a revoked name", func(w *world, _ *Caller, in *PutSigningProfileInput) {
			in.ProfileName = "taken"
			p, _ := w.GetSigningProfile(ctx, admin(ours), GetSigningProfileInput{ProfileName: "taken"})
			w.revokeProfile("taken", p.Profile.ARN.Version, w.now())
		}, FaultValidation, "taken is Revoked"},
		{"a caller without the action", func(_ *world, c *Caller, _ *PutSigningProfileInput) { c.Actions = []string{"signer:SignPayload"} }, FaultAccessDenied, "signer:PutSigningProfile"},
		{"a caller without the profile", func(_ *world, c *Caller, _ *PutSigningProfileInput) { c.Profiles = []string{"other"} }, FaultAccessDenied, "identity-based"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.put("taken", KindAWS)
			caller, in := admin(ours), putInput("build")
			c.alter(w, &caller, &in)
			before := len(w.entries())
			_, err := w.PutSigningProfile(ctx, caller, in)
			wantFault(t, err, c.fault, c.text)
			if len(w.entries()) != before {
				t.Error("something was changed")
			}
		})
	}
}

func TestValidityGoesByTheCalendar(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		from  string
		v     Validity
		until string
	}{
		{"2026-11-22", Validity{135, "MONTHS"}, "2038-02-22"},
		{"2026-01-31", Validity{1, "MONTHS"}, "2026-02-28"},
		{"2027-01-31", Validity{13, "MONTHS"}, "2028-02-29"},
		{"2026-10-31", Validity{1, "MONTHS"}, "2026-11-30"},
		{"2024-02-29", Validity{1, "YEARS"}, "2025-02-28"},
		{"2024-02-29", Validity{4, "YEARS"}, "2028-02-29"},
		{"2024-02-28", Validity{2, "DAYS"}, "2024-03-01"},
		{"2026-12-31", Validity{2, "MONTHS"}, "2027-02-28"},
	} {
		if got := c.v.From(at(c.from)); !got.Equal(at(c.until)) {
			t.Errorf("%d %s from %s: %s, want %s", c.v.Value, c.v.Type, c.from, got.Format(time.DateOnly), c.until)
		}
	}
	for _, v := range []Validity{{1, "DAYS"}, {135, "MONTHS"}, {11, "YEARS"}, {4110, "DAYS"}} {
		if err := v.check(worldStart); err != nil {
			t.Errorf("%+v: %v", v, err)
		}
	}
}

func TestACanceledProfileStaysAndSignsNoMore(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindAWS)
	old := w.sign("build")
	for range 2 { // a second time changes nothing
		if err := w.CancelSigningProfile(ctx, admin(ours), "build"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := w.GetSigningProfile(ctx, admin(ours), GetSigningProfileInput{ProfileName: "build"})
	if err != nil || got.Profile.Status != ProfileCanceled || got.Profile.StatusBy != admin(ours).Principal {
		t.Errorf("%+v, %v", got, err)
	}
	if out := w.status(w.job(old.JobID)); len(out) != 0 {
		t.Errorf("its old signature is revoked: %v", out)
	}
	wantFault(t, w.CancelSigningProfile(ctx, admin(ours), "nothing"), FaultNotFound)
	// It can still be revoked, and then not canceled.
	w.revokeProfile("build", got.Profile.ARN.Version, w.now())
	wantFault(t, w.CancelSigningProfile(ctx, admin(ours), "build"), FaultValidation, "revoked")
}

func TestListSigningProfilesInPages(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	for i := range 30 {
		w.put(fmt.Sprintf("profile_%02d", i), KindAWS)
	}
	if err := w.CancelSigningProfile(ctx, admin(ours), "profile_03"); err != nil {
		t.Fatal(err)
	}
	list := func(in ListSigningProfilesInput) []string {
		t.Helper()
		var names []string
		for {
			out, err := w.ListSigningProfiles(ctx, admin(ours), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range out.Profiles {
				names = append(names, p.Profile.ARN.Name)
			}
			if in.NextToken = out.NextToken; in.NextToken == "" {
				return names
			}
		}
	}
	if got := list(ListSigningProfilesInput{MaxResults: 7}); len(got) != 29 || !slices.IsSorted(got) || slices.Contains(got, "profile_03") {
		t.Errorf("active ones: %v", got)
	}
	if got := list(ListSigningProfilesInput{IncludeCanceled: true}); len(got) != 30 {
		t.Errorf("with canceled ones: %v", got)
	}
	if got := list(ListSigningProfilesInput{Statuses: []string{"Canceled", "Revoked"}}); !slices.Equal(got, []string{"profile_03"}) {
		t.Errorf("canceled ones: %v", got)
	}
	if got := list(ListSigningProfilesInput{PlatformID: "AWSLambda-SHA384-ECDSA"}); len(got) != 0 {
		t.Errorf("of another platform: %v", got)
	}
	_, err := w.ListSigningProfiles(ctx, admin(ours), ListSigningProfilesInput{Statuses: []string{"active"}})
	wantFault(t, err, FaultValidation, "enum value set")
	c := admin(ours)
	c.Profiles = []string{"profile_01"}
	_, err = w.ListSigningProfiles(ctx, c, ListSigningProfilesInput{})
	wantFault(t, err, FaultAccessDenied, "signer:ListSigningProfiles", "resource: *")
}

func TestAPageTokenFitsItsOwnQueryOnly(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	for i := range 3 {
		w.put(fmt.Sprintf("profile_%d", i), KindAWS)
	}
	out, err := w.ListSigningProfiles(ctx, admin(ours), ListSigningProfilesInput{MaxResults: 1})
	if err != nil || out.NextToken == "" {
		t.Fatalf("%+v, %v", out, err)
	}
	flipped := []byte(out.NextToken)
	flipped[len(flipped)/2] ^= 1
	for name, in := range map[string]ListSigningProfilesInput{
		"changed":          {NextToken: string(flipped)},
		"cut":              {NextToken: out.NextToken[:20]},
		"of another query": {NextToken: out.NextToken, IncludeCanceled: true},
		"made up":          {NextToken: "cHJvZmlsZV8wMA"},
		"too long":         {NextToken: strings.Repeat("A", limits.PageToken+1)},
		"not base64":       {NextToken: "!"},
	} {
		if _, err := w.ListSigningProfiles(ctx, admin(ours), in); refusal(err) == nil || refusal(err).Fault != FaultValidation {
			t.Errorf("token %s: %v", name, err)
		}
	}
	if _, err := w.ListSigningProfiles(ctx, admin(theirs), ListSigningProfilesInput{NextToken: out.NextToken}); err == nil {
		t.Error("another account used the token")
	}
	if _, err := w.ListSigningJobs(ctx, admin(ours), ListSigningJobsInput{NextToken: out.NextToken}); err == nil {
		t.Error("another listing took the token")
	}
	for _, n := range []int{-1, 26} {
		_, err := w.ListSigningProfiles(ctx, admin(ours), ListSigningProfilesInput{MaxResults: n})
		wantFault(t, err, FaultValidation, "maxResults")
	}
}

func TestListSigningJobsByFilter(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindAWS)
	var ids []string
	for range 5 {
		ids = append(ids, w.sign("build").JobID)
		w.sleep(time.Minute)
	}
	slices.Reverse(ids)
	if err := w.RevokeSignature(ctx, admin(ours), RevokeSignatureInput{JobID: ids[1], Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	last := w.job(ids[0]).Expires
	for _, c := range []struct {
		name string
		in   ListSigningJobsInput
		want []string
	}{
		{"all, newest first, in pages", ListSigningJobsInput{MaxResults: 2}, ids},
		{"succeeded", ListSigningJobsInput{Status: "Succeeded"}, ids},
		{"failed", ListSigningJobsInput{Status: "Failed"}, nil},
		{"of another platform", ListSigningJobsInput{PlatformID: "AWSLambda-SHA384-ECDSA"}, nil},
		{"revoked", ListSigningJobsInput{IsRevoked: &yes}, ids[1:2]},
		{"not revoked", ListSigningJobsInput{IsRevoked: &no}, slices.Concat(ids[:1], ids[2:])},
		{"by somebody", ListSigningJobsInput{RequestedBy: admin(ours).Principal}, ids},
		{"by somebody else", ListSigningJobsInput{RequestedBy: admin(theirs).Principal}, nil},
		{"from another account", ListSigningJobsInput{JobInvoker: theirs}, nil},
		{"that expire later", ListSigningJobsInput{ExpiresAfter: last.Add(-time.Second)}, ids[:1]},
		{"that expire before", ListSigningJobsInput{ExpiresBefore: last}, ids[1:]},
	} {
		var got []string
		for {
			out, err := w.ListSigningJobs(ctx, admin(ours), c.in)
			if err != nil {
				t.Fatal(c.name, err)
			}
			for _, j := range out.Jobs {
				got = append(got, j.ARN.ID)
			}
			if c.in.NextToken = out.NextToken; out.NextToken == "" {
				break
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	_, err := w.ListSigningJobs(ctx, admin(ours), ListSigningJobsInput{Status: "Done"})
	wantFault(t, err, FaultValidation, "status")
	_, err = w.ListSigningJobs(ctx, admin(ours), ListSigningJobsInput{JobInvoker: "me"})
	wantFault(t, err, FaultValidation, "jobInvoker")
	_, err = w.DescribeSigningJob(ctx, admin(theirs), ids[0])
	wantFault(t, err, FaultNotFound, theirs)
	_, err = w.DescribeSigningJob(ctx, admin(ours), "a/b")
	wantFault(t, err, FaultValidation, "jobId")
	c := admin(ours)
	c.Profiles = []string{"other"}
	_, err = w.DescribeSigningJob(ctx, c, ids[0])
	wantFault(t, err, FaultAccessDenied, "signer:DescribeSigningJob", ids[0])
}

func TestPermissionsLetOthersInAndNoFurther(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	p := w.put("build", KindAWS)
	role := Caller{Account: theirs, Principal: "arn:aws:iam::" + theirs + ":role/ci", Actions: []string{"signer:*"}, Profiles: []string{"*"}}
	in := signInput("build")
	in.ProfileOwner = ours
	try := func(c Caller) error {
		_, err := w.SignPayload(ctx, c, in)
		return err
	}
	add := func(g AddProfilePermissionInput) string {
		t.Helper()
		g.ProfileName = "build"
		rev, err := w.AddProfilePermission(ctx, admin(ours), g)
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	remove := func(id, rev string) {
		t.Helper()
		if _, err := w.RemoveProfilePermission(ctx, admin(ours), RemoveProfilePermissionInput{ProfileName: "build", StatementID: id, RevisionID: rev}); err != nil {
			t.Fatal(err)
		}
	}
	wantFault(t, try(role), FaultAccessDenied, "resource-based")
	rev := add(AddProfilePermissionInput{StatementID: "get", Action: "signer:GetSigningProfile", Principal: theirs})
	wantFault(t, try(role), FaultAccessDenied, "resource-based")
	if _, err := w.GetSigningProfile(ctx, role, GetSigningProfileInput{ProfileName: "build", ProfileOwner: ours}); err != nil {
		t.Error(err)
	}
	remove("get", rev)

	rev = add(AddProfilePermissionInput{StatementID: "role", Action: "signer:SignPayload", Principal: role.Principal})
	if err := try(role); err != nil {
		t.Error(err)
	}
	wantFault(t, try(admin(theirs)), FaultAccessDenied, "resource-based")
	// Rights of its own it needs too.
	weak := role
	weak.Actions = []string{"signer:GetSigningProfile"}
	wantFault(t, try(weak), FaultAccessDenied, "identity-based")
	remove("role", rev)

	rev = add(AddProfilePermissionInput{StatementID: "version", Action: "signer:SignPayload", Principal: theirs, ProfileVersion: p.ProfileVersion})
	if err := try(role); err != nil {
		t.Error(err)
	}
	w.put("build", KindAWS)
	wantFault(t, try(role), FaultAccessDenied, "resource-based")
	remove("version", rev)

	add(AddProfilePermissionInput{StatementID: "root", Action: "signer:SignPayload", Principal: "arn:aws:iam::" + theirs + ":root"})
	if err := try(role); err != nil {
		t.Error(err)
	}
	// Nothing else is open to the other account.
	for name, err := range map[string]error{
		"cancel": w.CancelSigningProfile(ctx, role, "build"),
		"tag":    w.TagResource(ctx, role, p.ARN, map[string]string{"a": "b"}),
	} {
		if refusal(err) == nil {
			t.Error(name, "was let through")
		}
	}
	wantFault(t, w.TagResource(ctx, role, p.ARN, map[string]string{"a": "b"}), FaultAccessDenied, "resource-based")
}

func TestAddProfilePermissionRefuses(t *testing.T) {
	ctx := context.Background()
	good := AddProfilePermissionInput{ProfileName: "build", Action: "signer:SignPayload", Principal: theirs, StatementID: "s2"}
	for _, c := range []struct {
		name  string
		alter func(in *AddProfilePermissionInput)
		fault Fault
		text  string
	}{
		{"an action of another platform", func(in *AddProfilePermissionInput) { in.Action = "signer:StartSigningJob" }, FaultValidation,
			"Action \"signer:StartSigningJob\" not supported for platform Notation-OCI-SHA384-ECDSA. Action must be one of [signer:SignPayload, signer:GetSigningProfile, signer:RevokeSignature]"},
		{"every principal", func(in *AddProfilePermissionInput) { in.Principal = "*" }, FaultValidation, "Principal"},
		{"an account of eleven digits", func(in *AddProfilePermissionInput) { in.Principal = "11112222333" }, FaultValidation, "Principal"},
		{"a principal of another partition", func(in *AddProfilePermissionInput) { in.Principal = "arn:aws-cn:iam::111122223333:root" }, FaultValidation, "Principal"},
		{"a principal with a wildcard", func(in *AddProfilePermissionInput) { in.Principal = "arn:aws:iam::111122223333:role/*" }, FaultValidation, "Principal"},
		{"a service", func(in *AddProfilePermissionInput) { in.Principal = "ecs.amazonaws.com" }, FaultValidation, "Principal"},
		{"no statement id", func(in *AddProfilePermissionInput) { in.StatementID = "" }, FaultValidation, "Statement id"},
		{"a statement id with a slash", func(in *AddProfilePermissionInput) { in.StatementID = "a/b" }, FaultValidation, "Statement id"},
		{"a statement id that is there", func(in *AddProfilePermissionInput) { in.StatementID = "s1" }, FaultConflict, "s1 is used already"},
		{"an old revision", func(in *AddProfilePermissionInput) { in.RevisionID = "00000000-0000-0000-0000-000000000000" }, FaultConflict, "revision id"},
		{"a version that is none", func(in *AddProfilePermissionInput) { in.ProfileVersion = "x" }, FaultValidation, "profileVersion"},
		{"a version there is not", func(in *AddProfilePermissionInput) { in.ProfileVersion = "0000000000" }, FaultNotFound, "no version 0000000000"},
		{"a profile there is not", func(in *AddProfilePermissionInput) { in.ProfileName = "nothing" }, FaultNotFound, "nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.put("build", KindAWS)
			first := good
			first.StatementID = "s1"
			if _, err := w.AddProfilePermission(ctx, admin(ours), first); err != nil {
				t.Fatal(err)
			}
			in := good
			c.alter(&in)
			_, err := w.AddProfilePermission(ctx, admin(ours), in)
			wantFault(t, err, c.fault, c.text)
		})
	}
	t.Run("a policy that is full", func(t *testing.T) {
		w := newWorld(t)
		w.put("build", KindAWS)
		var err error
		n := 0
		for ; err == nil && n <= limits.ProfilePermissions; n++ {
			in := good
			in.StatementID = fmt.Sprintf("s%d", n)
			_, err = w.AddProfilePermission(ctx, admin(ours), in)
		}
		wantFault(t, err, FaultLimit, "limits are")
		out, err := w.ListProfilePermissions(ctx, admin(ours), ListProfilePermissionsInput{ProfileName: "build"})
		if err != nil || len(out.Permissions) != n-1 || out.PolicySizeBytes < 1000 || out.PolicySizeBytes > limits.ProfilePolicyBytes {
			t.Errorf("%d of %d statements, %d bytes, %v", len(out.Permissions), n, out.PolicySizeBytes, err)
		}
	})
}

func TestPermissionsAreRemovedByTheirCurrentRevision(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindAWS)
	out, err := w.ListProfilePermissions(ctx, admin(ours), ListProfilePermissionsInput{ProfileName: "build"})
	if err != nil || out.RevisionID != "" || len(out.Permissions) != 0 || out.PolicySizeBytes != 0 {
		t.Errorf("of a new profile: %+v, %v", out, err)
	}
	first, err := w.AddProfilePermission(ctx, admin(ours), AddProfilePermissionInput{ProfileName: "build", Action: "signer:SignPayload", Principal: theirs, StatementID: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.AddProfilePermission(ctx, admin(ours), AddProfilePermissionInput{ProfileName: "build", Action: "signer:RevokeSignature", Principal: theirs, StatementID: "s2", RevisionID: first})
	if err != nil || second == first {
		t.Fatal(second, err)
	}
	if e := w.last(); e.Kind != audit.PermissionChange || !strings.Contains(e.Detail, "s2") || !strings.Contains(e.Detail, theirs) {
		t.Errorf("logged %+v", e)
	}
	remove := func(id, revision string) error {
		_, err := w.RemoveProfilePermission(ctx, admin(ours), RemoveProfilePermissionInput{ProfileName: "build", StatementID: id, RevisionID: revision})
		return err
	}
	wantFault(t, remove("s1", ""), FaultValidation, "revisionId")
	wantFault(t, remove("s1", first), FaultConflict, "revision id")
	wantFault(t, remove("s3", second), FaultNotFound, "s3")
	if err := remove("s1", second); err != nil {
		t.Fatal(err)
	}
	out, err = w.ListProfilePermissions(ctx, admin(ours), ListProfilePermissionsInput{ProfileName: "build"})
	if err != nil || len(out.Permissions) != 1 || out.Permissions[0].StatementID != "s2" || out.RevisionID == second {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = w.ListProfilePermissions(ctx, admin(ours), ListProfilePermissionsInput{ProfileName: "build", NextToken: "x"})
	wantFault(t, err, FaultValidation, "nextToken")
}

func TestTags(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	p := w.put("build", KindAWS)
	if err := w.TagResource(ctx, admin(ours), p.ARN, map[string]string{"team": "a", "x:y/z=1": strings.Repeat("ü", 256)}); err != nil {
		t.Fatal(err)
	}
	if e := w.last(); e.Kind != audit.TagChange || e.ProfileVersion != p.ARN || !strings.Contains(e.Detail, "team") {
		t.Errorf("logged %+v", e)
	}
	if err := w.TagResource(ctx, admin(ours), p.ARN, map[string]string{"team": "b"}); err != nil {
		t.Fatal(err)
	}
	if err := w.UntagResource(ctx, admin(ours), p.ARN, []string{"x:y/z=1", "never"}); err != nil {
		t.Fatal(err)
	}
	got, err := w.ListTagsForResource(ctx, admin(ours), p.ARN)
	if diff := cmp.Diff(map[string]string{"team": "b"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	full := map[string]string{}
	for i := range limits.ProfileTags {
		full[fmt.Sprintf("k%d", i)] = ""
	}
	for _, c := range []struct {
		name, arn string
		tags      map[string]string
		fault     Fault
		text      string
	}{
		{"no tags", p.ARN, nil, FaultValidation, "missing"},
		{"a 51st", p.ARN, full, FaultValidation, "50 tags"},
		{"an empty key", p.ARN, map[string]string{"": ""}, FaultValidation, "Tag key"},
		{"a key with a space", p.ARN, map[string]string{"a b": ""}, FaultValidation, "Tag key"},
		{"a key with a star", p.ARN, map[string]string{"a*": ""}, FaultValidation, "Tag key"},
		{"a long key", p.ARN, map[string]string{strings.Repeat("k", 129): ""}, FaultValidation, "Tag key"},
		{"a reserved key", p.ARN, map[string]string{"aws:x": ""}, FaultValidation, "reserved"},
		{"a reserved key in capitals", p.ARN, map[string]string{"AWS:x": ""}, FaultValidation, "reserved"},
		{"a long value", p.ARN, map[string]string{"k": strings.Repeat("v", 257)}, FaultValidation, "value of tag"},
		{"no ARN", "build", map[string]string{"k": "v"}, FaultValidation, `The resource "build" is not the ARN of a signing profile: `},
		{"a version", p.ProfileVersionARN, map[string]string{"k": "v"}, FaultValidation, "version"},
		{"another region", strings.Replace(p.ARN, "ap-northeast-1", "us-east-1", 1), map[string]string{"k": "v"}, FaultValidation, "region"},
		{"another account", strings.Replace(p.ARN, ours, theirs, 1), map[string]string{"k": "v"}, FaultAccessDenied, "signer:TagResource"},
		{"a profile there is not", p.ARN + "ing", map[string]string{"k": "v"}, FaultNotFound, "building"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := w.TagResource(ctx, admin(ours), c.arn, c.tags)
			wantFault(t, err, c.fault, c.text)
			if n := strings.Count(err.Error(), "is not the ARN"); n > 1 {
				t.Errorf("it is said %d times: %v", n, err)
			}
		})
	}
	wantFault(t, w.UntagResource(ctx, admin(ours), p.ARN, nil), FaultValidation, "tagKeys")
	_, err = w.ListTagsForResource(ctx, admin(ours), "x")
	wantFault(t, err, FaultValidation, "not the ARN")
}

func TestThereIsOnePlatform(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	list := func(in ListSigningPlatformsInput) int {
		t.Helper()
		out, err := w.ListSigningPlatforms(ctx, admin(ours), in)
		if err != nil {
			t.Fatal(err)
		}
		return len(out.Platforms)
	}
	if list(ListSigningPlatformsInput{}) != 1 || list(ListSigningPlatformsInput{Target: "SHA384-ECDSA"}) != 1 || list(ListSigningPlatformsInput{Partner: "AWSLambda"}) != 0 {
		t.Error("not exactly the one platform")
	}
	p, err := w.GetSigningPlatform(ctx, admin(ours), "Notation-OCI-SHA384-ECDSA")
	if err != nil || p.DisplayName != "Notation for container registries" || !p.RevocationSupported {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = w.GetSigningPlatform(ctx, admin(ours), "AWSLambda-SHA384-ECDSA")
	wantFault(t, err, FaultNotFound, "AWSLambda-SHA384-ECDSA")
	_, err = w.ListSigningPlatforms(ctx, admin(ours), ListSigningPlatformsInput{NextToken: "x"})
	wantFault(t, err, FaultValidation, "nextToken")
	nobody := admin(ours)
	nobody.Actions = nil
	_, err = w.ListSigningPlatforms(ctx, nobody, ListSigningPlatformsInput{})
	wantFault(t, err, FaultAccessDenied, "signer:ListSigningPlatforms")
	wantFault(t, w.StartSigningJob(ctx, admin(ours), "build"), FaultValidation, "StartSigningJob is not supported for platform Notation-OCI-SHA384-ECDSA")
	wantFault(t, w.StartSigningJob(ctx, nobody, "build"), FaultAccessDenied, "signer:StartSigningJob")
}

func TestActionsAreGrantedByNameOrPattern(t *testing.T) {
	for _, c := range []struct {
		granted string
		action  string
		want    bool
	}{
		{"signer:SignPayload", actionSign, true},
		{"signer:signpayload", actionSign, true}, // as IAM
		{"signer:*", actionSign, true},
		{"signer:List*", actionListJobs, true},
		{"signer:List*", actionSign, false},
		{"signer:SignPayloadX", actionSign, false},
		{"signer:SignPayload*", actionSign, true},
		{"", actionSign, false},
		{"ecr:*", actionSign, false},
	} {
		if got := allowsAction([]string{c.granted}, c.action); got != c.want {
			t.Errorf("%q allows %s: %v", c.granted, c.action, got)
		}
	}
}

func TestANameInACredentialIsAProfileOfItsOwnAccount(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindAWS)
	_, err := w.AddProfilePermission(ctx, admin(ours), AddProfilePermissionInput{ProfileName: "build", Action: actionSign, Principal: theirs, StatementID: "one"})
	if err != nil {
		t.Fatal(err)
	}
	arn := w.profileARN(ours, "build").String()
	for profile, allowed := range map[string]bool{"build": false, arn: true, "*": true} {
		c := admin(theirs)
		c.Profiles = []string{profile}
		in := signInput("build")
		in.ProfileOwner = ours
		if _, err := w.SignPayload(ctx, c, in); allowed && err != nil {
			t.Errorf("%s: %v", profile, err)
		} else if !allowed {
			wantFault(t, err, FaultAccessDenied, "no identity-based policy")
		}
	}
	c := Caller{Account: theirs, Profiles: []string{"build"}}
	if c.allowsProfile(w.profileARN(ours, "build")) || !c.allowsProfile(awsprofile.Profile{Account: theirs, Name: "build"}) {
		t.Error("the account does not count")
	}
}

func TestUntaggingLogsWhatWasThere(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	arn := w.put("build", KindAWS).ARN
	if err := w.TagResource(ctx, admin(ours), arn, map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	keys := []string{"a", "a"}
	for i := range 198 {
		keys = append(keys, fmt.Sprintf("k%d", i))
	}
	if err := w.UntagResource(ctx, admin(ours), arn, keys); err != nil {
		t.Fatal(err)
	}
	if got := w.last().Detail; got != "keys a" {
		t.Errorf("logged %q", got)
	}
}

func TestTheKindIsTold(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.DefaultKind = KindStandard
	if _, err := w.PutSigningProfile(ctx, admin(ours), PutSigningProfileInput{ProfileName: "build", PlatformID: awsprofile.PlatformID}); err != nil {
		t.Fatal(err)
	}
	out, err := w.GetSigningProfile(ctx, admin(ours), GetSigningProfileInput{ProfileName: "build"})
	if err != nil || out.Profile.Parameters[ParameterKind] != string(KindStandard) {
		t.Errorf("%v, %v", out, err)
	}
}
