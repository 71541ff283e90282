package signing

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/issue"
)

func (w *world) statusInput(j Job) GetRevocationStatusInput {
	w.t.Helper()
	chain, err := envelope.ParseChain(w.store.state.authorities[j.Authority].Chain)
	if err != nil {
		w.t.Fatal(err)
	}
	return GetRevocationStatusInput{
		SignatureTimestamp: j.SignedAt, PlatformID: awsprofile.PlatformID, ProfileVersionARN: j.Profile.String(), JobARN: j.ARN.String(),
		CertificateHashes: append(slices.Clone(j.CertificateIDs), awsprofile.CertificateIDs(chain)...),
	}
}

func (w *world) status(j Job) []string {
	w.t.Helper()
	out, err := w.GetRevocationStatus(context.Background(), admin(ours), w.statusInput(j))
	if err != nil {
		w.t.Fatal(err)
	}
	return out.RevokedEntities
}

func TestRevokeSignatureTakesOneBackForGood(t *testing.T) {
	ctx := context.Background()
	for _, kind := range []Kind{KindAWS, KindStandard} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			var told []string
			w.NewCRL = func(id string, _ []byte) { told = append(told, id) }
			w.put("build", kind)
			bad, good := w.job(w.sign("build").JobID), w.job(w.sign("build").JobID)
			if got := w.status(bad); len(got) != 0 {
				t.Fatalf("revoked before: %v", got)
			}
			told = nil
			w.sleep(time.Second)
			in := RevokeSignatureInput{JobID: bad.ARN.ID, Reason: "wrong image"}
			if err := w.RevokeSignature(ctx, admin(ours), in); err != nil {
				t.Fatal(err)
			}
			e := w.last()
			if e.Kind != audit.Revocation || e.Job != bad.ARN.String() || !strings.Contains(e.Detail, "wrong image") {
				t.Errorf("logged %+v", e)
			}
			want := JobRevocation{Reason: "wrong image", RevokedAt: w.now(), RevokedBy: admin(ours).Principal}
			// Once more changes nothing.
			w.sleep(time.Second)
			in.Reason = "another"
			if err := w.RevokeSignature(ctx, admin(ours), in); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, w.job(bad.ARN.ID).Revocation); diff != "" {
				t.Error(diff)
			}
			wantStatus := []string{bad.ARN.String()}
			if kind == KindStandard {
				wantStatus = append(wantStatus, bad.CertificateIDs[0])
			}
			if diff := cmp.Diff(wantStatus, w.status(bad)); diff != "" {
				t.Error(diff)
			}
			if got := w.status(good); len(got) != 0 {
				t.Errorf("the other one is revoked: %v", got)
			}
			if kind == KindAWS { // no certificate names a CRL that could list its leaf
				_, _, err := w.CRL(ctx, bad.Authority)
				wantFault(t, err, FaultNotFound, "no CRL")
				return
			}
			list := w.crl(bad.Authority)
			if len(list.RevokedCertificateEntries) != 1 || fmt.Sprintf("%x", list.RevokedCertificateEntries[0].SerialNumber) != bad.Serial {
				t.Errorf("CRL lists %v, want serial %s", list.RevokedCertificateEntries, bad.Serial)
			}
			if !slices.Contains(told, bad.Authority) || list.Number.Cmp(big.NewInt(1)) <= 0 {
				t.Errorf("CRL number %s, told of %v", list.Number, told)
			}
		})
	}
}

func TestRevokeSignatureRefuses(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		caller func(c *Caller)
		alter  func(in *RevokeSignatureInput)
		fault  Fault
		text   string
	}{
		{"no reason", nil, func(in *RevokeSignatureInput) { in.Reason = "" }, FaultValidation, "reason"},
		{"a long reason", nil, func(in *RevokeSignatureInput) { in.Reason = strings.Repeat("r", 501) }, FaultValidation, "reason"},
		{"a job there is not", nil, func(in *RevokeSignatureInput) { in.JobID = "0193" }, FaultNotFound, "0193"},
		{"an id that is none", nil, func(in *RevokeSignatureInput) { in.JobID = "../x" }, FaultValidation, "jobId"},
		{"a bad owner", nil, func(in *RevokeSignatureInput) { in.JobOwner = "me" }, FaultValidation, "jobOwner"},
		{"a caller without the action", func(c *Caller) { c.Actions = []string{"signer:SignPayload"} }, nil, FaultAccessDenied, "signer:RevokeSignature"},
		{"a caller without the profile", func(c *Caller) { c.Profiles = []string{"other"} }, nil, FaultAccessDenied, "identity-based"},
		{"another account", func(c *Caller) { *c = admin(theirs) }, func(in *RevokeSignatureInput) { in.JobOwner = ours }, FaultAccessDenied, "resource-based"},
		{"another account, and whether the job exists", func(c *Caller) { *c = admin(theirs) }, func(in *RevokeSignatureInput) { in.JobOwner, in.JobID = ours, "0193" }, FaultAccessDenied, "resource-based"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.put("build", KindAWS)
			id := w.sign("build").JobID
			caller, in := admin(ours), RevokeSignatureInput{JobID: id, Reason: "x"}
			if c.caller != nil {
				c.caller(&caller)
			}
			if c.alter != nil {
				c.alter(&in)
			}
			wantFault(t, w.RevokeSignature(ctx, caller, in), c.fault, c.text)
			if w.job(id).Revocation != nil {
				t.Error("it was revoked")
			}
		})
	}
}

func TestAnotherAccountRevokesByPermission(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindAWS)
	id := w.sign("build").JobID
	if _, err := w.AddProfilePermission(ctx, admin(ours), AddProfilePermissionInput{ProfileName: "build", Action: "signer:RevokeSignature", Principal: theirs, StatementID: "s"}); err != nil {
		t.Fatal(err)
	}
	if err := w.RevokeSignature(ctx, admin(theirs), RevokeSignatureInput{JobID: id, JobOwner: ours, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	if r := w.job(id).Revocation; r == nil || r.RevokedBy != admin(theirs).Principal {
		t.Errorf("%+v", r)
	}
}

func TestARevocationIsKeptWhenItsCRLCannotBeMade(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindStandard)
	job := w.job(w.sign("build").JobID)
	number := w.crl(job.Authority).Number
	commits := 0
	w.store.fail = func(*memTx) error {
		if commits++; commits == 2 {
			return errDiskFull
		}
		return nil
	}
	err := w.RevokeSignature(ctx, admin(ours), RevokeSignatureInput{JobID: job.ARN.ID, Reason: "x"})
	wantFault(t, err, FaultUnavailable, "revocation is recorded")
	if !errors.Is(err, errDiskFull) {
		t.Error("the cause is lost")
	}
	if w.job(job.ARN.ID).Revocation == nil || w.crl(job.Authority).Number.Cmp(number) != 0 {
		t.Fatal("want it revoked, and the old CRL")
	}
	w.store.fail = nil
	changed, err := w.RefreshCRLs(ctx) // not due by time
	if err != nil || changed[job.Authority] == nil {
		t.Fatalf("%d changed, %v", len(changed), err)
	}
	if list := w.crl(job.Authority); len(list.RevokedCertificateEntries) != 1 {
		t.Error("still not listed")
	}
}

func TestRevokeSigningProfileTakesBackFromATimeOn(t *testing.T) {
	ctx := context.Background()
	for _, kind := range []Kind{KindAWS, KindStandard} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			p := w.put("build", kind)
			var jobs []Job
			for range 4 {
				jobs = append(jobs, w.job(w.sign("build").JobID))
				w.sleep(time.Hour)
			}
			w.put("other", kind)
			bystander := w.job(w.sign("other").JobID)
			revoke := func(at time.Time) error {
				return w.RevokeSigningProfile(ctx, admin(ours), RevokeSigningProfileInput{ProfileName: "build", ProfileVersion: p.ProfileVersion, Reason: "lost", EffectiveTime: at})
			}
			check := func(from int) {
				t.Helper()
				for i, j := range jobs {
					got := w.status(j)
					if want := i >= from; slices.Contains(got, p.ProfileVersionARN) != want {
						t.Errorf("signature %d: %v, revoked want %v", i, got, want)
					}
				}
				if got := w.status(bystander); len(got) != 0 {
					t.Errorf("the other profile: %v", got)
				}
				if kind == KindStandard {
					if n, want := len(w.crl(jobs[0].Authority).RevokedCertificateEntries), len(jobs)-from; n != want {
						t.Errorf("%d leaves listed, want %d", n, want)
					}
				}
				w.checkAuthorityListed(jobs[0].Authority, jobs[from].SignedAt)
			}
			if err := revoke(jobs[2].SignedAt.Add(500 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			check(2) // the second it lies in counts
			got, err := w.GetSigningProfile(ctx, admin(ours), GetSigningProfileInput{ProfileName: "build"})
			if err != nil || got.Profile.Status != ProfileRevoked || got.Profile.Revocation.RevokedBy != admin(ours).Principal || !got.Profile.Revocation.EffectiveFrom.Equal(jobs[2].SignedAt) {
				t.Errorf("%+v, %v", got.Profile, err)
			}
			wantFault(t, revoke(jobs[3].SignedAt), FaultValidation, "earlier, not later")
			if err := revoke(jobs[2].SignedAt); err != nil { // the same once more
				t.Error(err)
			}
			check(2)
			if err := revoke(jobs[1].SignedAt); err != nil {
				t.Fatal(err)
			}
			check(1)
			if e := slices.IndexFunc(w.entries(), func(e audit.Entry) bool {
				return e.Kind == audit.Revocation && e.ProfileVersion == p.ProfileVersionARN && strings.Contains(e.Detail, jobs[1].SignedAt.Format(time.RFC3339))
			}); e < 0 {
				t.Error("not in the log")
			}
			_, err = w.SignPayload(ctx, admin(ours), signInput("build"))
			wantFault(t, err, FaultValidation, "Revoked")
		})
	}
}

// checkAuthorityListed: an issuing CA is in the intermediate's CRL, from a time on.
func (w *world) checkAuthorityListed(id string, from time.Time) {
	w.t.Helper()
	row := w.store.state.authorities[id]
	a, err := w.open(row)
	if err != nil {
		w.t.Fatal(err)
	}
	list := w.crl(w.intermediate())
	if err := list.CheckSignatureFrom(w.Intermediate.Chain()[0]); err != nil {
		w.t.Error(err)
	}
	if len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(a.issuer.Chain()[0].SerialNumber) != 0 {
		w.t.Fatalf("the intermediate's CRL lists %v", list.RevokedCertificateEntries)
	}
	date := from.UTC().Format("20060102150405Z")
	for _, e := range list.RevokedCertificateEntries[0].Extensions {
		if e.Id.String() == "2.5.29.24" && strings.Contains(string(e.Value), date) {
			return
		}
	}
	w.t.Errorf("the issuing CA is not listed with the invalidity date %s: %v", date, list.RevokedCertificateEntries[0].Extensions)
}

func TestRevokeSigningProfileRefuses(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		caller func(c *Caller)
		alter  func(in *RevokeSigningProfileInput)
		fault  Fault
		text   string
	}{
		{"a time to come", nil, func(in *RevokeSigningProfileInput) { in.EffectiveTime = worldStart.Add(time.Hour) }, FaultValidation, "future"},
		{"no time", nil, func(in *RevokeSigningProfileInput) { in.EffectiveTime = time.Time{} }, FaultValidation, "missing"},
		{"a time before all", nil, func(in *RevokeSigningProfileInput) { in.EffectiveTime = time.Unix(-1, 0) }, FaultValidation, "1970"},
		{"no reason", nil, func(in *RevokeSigningProfileInput) { in.Reason = "" }, FaultValidation, "reason"},
		{"a version that is none", nil, func(in *RevokeSigningProfileInput) { in.ProfileVersion = "1" }, FaultValidation, "profileVersion"},
		{"a version there is not", nil, func(in *RevokeSigningProfileInput) { in.ProfileVersion = "0000000000" }, FaultNotFound, "no version"},
		{"a profile there is not", nil, func(in *RevokeSigningProfileInput) { in.ProfileName = "nothing" }, FaultNotFound, "nothing"},
		{"a bad name", nil, func(in *RevokeSigningProfileInput) { in.ProfileName = "-" }, FaultValidation, "profileName"},
		{"a caller without the action", func(c *Caller) { c.Actions = []string{"signer:SignPayload"} }, nil, FaultAccessDenied, "signer:RevokeSigningProfile"},
		{"another account", func(c *Caller) { *c = admin(theirs) }, nil, FaultNotFound, theirs},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.put("build", KindAWS)
			caller := admin(ours)
			in := RevokeSigningProfileInput{ProfileName: "build", ProfileVersion: p.ProfileVersion, Reason: "x", EffectiveTime: worldStart}
			if c.caller != nil {
				c.caller(&caller)
			}
			if c.alter != nil {
				c.alter(&in)
			}
			wantFault(t, w.RevokeSigningProfile(ctx, caller, in), c.fault, c.text)
			w.sign("build")
		})
	}
}

func TestAnOlderVersionIsRevokedAlone(t *testing.T) {
	w := newWorld(t)
	old := w.put("build", KindStandard)
	before := w.job(w.sign("build").JobID)
	w.put("build", KindStandard)
	w.revokeProfile("build", old.ProfileVersion, before.SignedAt)
	after := w.job(w.sign("build").JobID)
	if got := w.status(before); !slices.Contains(got, old.ProfileVersionARN) {
		t.Errorf("of the old version: %v", got)
	}
	if got := w.status(after); len(got) != 0 {
		t.Errorf("of the new version: %v", got)
	}
}

func TestAProfileThatNeverSignedIsRevokedToo(t *testing.T) {
	w := newWorld(t)
	p := w.put("build", KindStandard)
	w.revokeProfile("build", p.ProfileVersion, w.now())
	_, err := w.SignPayload(context.Background(), admin(ours), signInput("build"))
	wantFault(t, err, FaultValidation, "Revoked")
}

func TestRevocationStatusOfWhatWeDidNotMake(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindAWS)
	job := w.job(w.sign("build").JobID)
	other := w.put("other", KindAWS)
	elsewhere := func(in *GetRevocationStatusInput, old, new string) {
		in.ProfileVersionARN, in.JobARN = strings.Replace(in.ProfileVersionARN, old, new, 1), strings.Replace(in.JobARN, old, new, 1)
	}
	for _, c := range []struct {
		name   string
		alter  func(in *GetRevocationStatusInput)
		want   func(in GetRevocationStatusInput) []string
		notice string
	}{
		{"all as made", func(*GetRevocationStatusInput) {}, func(GetRevocationStatusInput) []string { return nil }, ""},
		{"the hashes in another order", func(in *GetRevocationStatusInput) {
			in.CertificateHashes = slices.Sorted(slices.Values(in.CertificateHashes))
		}, func(GetRevocationStatusInput) []string { return nil }, ""},
		{"ARNs in another spelling", func(in *GetRevocationStatusInput) {
			in.ProfileVersionARN = strings.Replace(in.ProfileVersionARN, ":/signing-", ":signing-", 1)
		}, func(GetRevocationStatusInput) []string { return nil }, ""},
		{"a job we never made", func(in *GetRevocationStatusInput) { in.JobARN = w.jobARN(ours, "0193-x").String() },
			func(in GetRevocationStatusInput) []string { return []string{in.JobARN} }, "no such job"},
		{"a job of another profile", func(in *GetRevocationStatusInput) { in.ProfileVersionARN = other.ProfileVersionARN },
			func(in GetRevocationStatusInput) []string { return []string{in.JobARN} }, "another profile version"},
		{"a version we never made", func(in *GetRevocationStatusInput) {
			in.ProfileVersionARN = job.Profile.Unversioned().String() + "/0000000000"
		}, func(in GetRevocationStatusInput) []string { return []string{in.ProfileVersionARN, in.JobARN} }, "no such profile version"},
		{"the CAs' hashes and not the leaf's", func(in *GetRevocationStatusInput) { in.CertificateHashes = in.CertificateHashes[1:] },
			func(in GetRevocationStatusInput) []string { return []string{in.JobARN} }, "signed with another certificate"},
		{"a name in another letter case", func(in *GetRevocationStatusInput) {
			in.ProfileVersionARN = strings.Replace(in.ProfileVersionARN, "build", "BUILD", 1)
		}, func(in GetRevocationStatusInput) []string { return []string{in.ProfileVersionARN, in.JobARN} }, "no such profile version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.notices = nil
			in := w.statusInput(job)
			c.alter(&in)
			out, err := w.GetRevocationStatus(ctx, admin(ours), in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want(in), out.RevokedEntities); diff != "" {
				t.Error(diff)
			}
			if said := strings.Join(w.notices, "\n"); c.notice == "" && said != "" || !strings.Contains(said, c.notice) {
				t.Errorf("noticed %q, want %q", said, c.notice)
			}
		})
	}
	for _, c := range []struct {
		name  string
		alter func(in *GetRevocationStatusInput)
		fault Fault
		text  string
	}{
		{"another platform", func(in *GetRevocationStatusInput) { in.PlatformID = "x" }, FaultValidation, "platform"},
		{"no platform", func(in *GetRevocationStatusInput) { in.PlatformID = "" }, FaultValidation, "platformId"},
		{"no time", func(in *GetRevocationStatusInput) { in.SignatureTimestamp = time.Time{} }, FaultValidation, "signatureTimestamp"},
		{"a profile without its version", func(in *GetRevocationStatusInput) { in.ProfileVersionARN = job.Profile.Unversioned().String() }, FaultValidation, "profileVersionArn"},
		{"a job that is no ARN", func(in *GetRevocationStatusInput) { in.JobARN = "x" }, FaultValidation, "jobArn"},
		{"no hashes", func(in *GetRevocationStatusInput) { in.CertificateHashes = nil }, FaultValidation, "certificateHashes"},
		{"a short hash", func(in *GetRevocationStatusInput) { in.CertificateHashes = []string{"00"} }, FaultValidation, "certificate id"},
		{"too many hashes", func(in *GetRevocationStatusInput) { in.CertificateHashes = make([]string, 33) }, FaultValidation, "32"},
		{"another partition", func(in *GetRevocationStatusInput) { elsewhere(in, "arn:aws:", "arn:aws-us-gov:") }, FaultValidation, "partition aws only"},
		{"another region", func(in *GetRevocationStatusInput) { elsewhere(in, "ap-northeast-1", "us-east-1") }, FaultValidation, "region ap-northeast-1 only"},
		{"an account nobody has here", func(in *GetRevocationStatusInput) { elsewhere(in, ours, theirs) }, FaultAccessDenied, theirs},
		{"two accounts", func(in *GetRevocationStatusInput) { in.JobARN = strings.Replace(in.JobARN, ours, theirs, 1) }, FaultValidation, theirs},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := w.statusInput(job)
			c.alter(&in)
			_, err := w.GetRevocationStatus(ctx, admin(ours), in)
			wantFault(t, err, c.fault, c.text)
		})
	}
	t.Run("a verifier of another account", func(t *testing.T) {
		c := admin(theirs)
		c.Actions = []string{"signer:GetRevocationStatus"}
		if out, err := w.GetRevocationStatus(ctx, c, w.statusInput(job)); err != nil || len(out.RevokedEntities) != 0 {
			t.Errorf("%v, %v", out, err)
		}
		c.Actions = []string{"signer:SignPayload"}
		_, err := w.GetRevocationStatus(ctx, c, w.statusInput(job))
		wantFault(t, err, FaultAccessDenied, "signer:GetRevocationStatus")
	})
}

func TestACertificateIsRevokedByItsID(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindAWS)
	job := w.job(w.sign("build").JobID)
	for range 2 {
		if _, err := w.RevokeCertificate(ctx, "operator", job.CertificateIDs[0], "key lost"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(job.CertificateIDs[:1], w.status(job)); diff != "" {
		t.Error(diff)
	}
	if e := w.last(); e.Kind != audit.CertificateRevocation || e.Principal != "operator" || !strings.Contains(e.Detail, job.CertificateIDs[0]) {
		t.Errorf("logged %+v", e)
	}
	_, err := w.RevokeCertificate(ctx, "operator", "xy", "x")
	wantFault(t, err, FaultValidation, "certificate id")
	_, err = w.RevokeCertificate(ctx, "operator", job.CertificateIDs[0], "")
	wantFault(t, err, FaultValidation, "reason")
}

func TestCRLsAreMadeAnewEveryHour(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	changed, err := w.RefreshCRLs(ctx)
	intermediate := w.intermediate()
	if err != nil || len(changed) != 1 || changed[intermediate] == nil {
		t.Fatalf("at first: %d, %v", len(changed), err)
	}
	w.put("build", KindStandard)
	id := w.job(w.sign("build").JobID).Authority
	if changed, err = w.RefreshCRLs(ctx); err != nil || len(changed) != 1 || changed[id] == nil {
		t.Errorf("with a new issuing CA: %d, %v", len(changed), err)
	}
	if changed, err = w.RefreshCRLs(ctx); err != nil || len(changed) != 0 {
		t.Errorf("in the same second: %d, %v", len(changed), err)
	}
	before := w.crl(id)
	made := map[string]int{}
	for range 4 * 60 {
		w.sleep(time.Minute)
		if changed, err = w.RefreshCRLs(ctx); err != nil {
			t.Fatal(err)
		}
		for _, a := range []string{intermediate, id} {
			if age := w.now().Sub(w.crl(a).ThisUpdate); age >= time.Hour+time.Second {
				t.Fatalf("the CRL of %s is %s old", a, age)
			}
			if changed[a] != nil {
				made[a]++
			}
		}
	}
	if made[intermediate] != 4 || made[id] != 4 {
		t.Errorf("made anew %v times in four hours, want four", made)
	}
	list := w.crl(id)
	if list.Number.Cmp(before.Number) <= 0 || list.NextUpdate.Sub(list.ThisUpdate) != 24*time.Hour {
		t.Errorf("number %s after %s, next update after %s", list.Number, before.Number, list.NextUpdate.Sub(list.ThisUpdate))
	}
	if _, next, _ := w.CRL(ctx, id); !next.Equal(list.NextUpdate) {
		t.Errorf("next update told as %s, want %s", next, list.NextUpdate)
	}
	_, _, err = w.CRL(ctx, "nothing")
	wantFault(t, err, FaultNotFound, "nothing")
	// Another life, and the same authority after a restart.
	w.Service = w.service()
	w.CRLLife, w.CRLEvery = 2*time.Hour, 10*time.Minute
	w.sleep(time.Hour)
	if changed, err = w.RefreshCRLs(ctx); err != nil || len(changed) != 2 {
		t.Fatalf("with another life: %d, %v", len(changed), err)
	}
	if list = w.crl(id); list.NextUpdate.Sub(list.ThisUpdate) != 2*time.Hour {
		t.Errorf("next update after %s", list.NextUpdate.Sub(list.ThisUpdate))
	}
	row := w.store.state.authorities[id]
	a, err := w.open(row)
	if err != nil || list.CheckSignatureFrom(a.issuer.Chain()[0]) != nil {
		t.Errorf("signed by another: %v", err)
	}
}

func TestConcurrentRevocationsAreAllListed(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindStandard)
	var ids []string
	var serials []string
	for range 12 {
		j := w.job(w.sign("build").JobID)
		ids, serials = append(ids, j.ARN.ID), append(serials, j.Serial)
	}
	done := make(chan error)
	for _, id := range ids {
		go func() {
			done <- w.RevokeSignature(ctx, admin(ours), RevokeSignatureInput{JobID: id, Reason: "x"})
		}()
	}
	for range ids {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	var listed []string
	for _, e := range w.crl(w.job(ids[0]).Authority).RevokedCertificateEntries {
		listed = append(listed, fmt.Sprintf("%x", e.SerialNumber))
	}
	slices.Sort(listed)
	slices.Sort(serials)
	if diff := cmp.Diff(serials, listed); diff != "" {
		t.Error(diff)
	}
}

func TestACRLThatCannotBeMadeStopsNoOther(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindStandard)
	w.put("other", KindStandard)
	broken, good := w.job(w.sign("build").JobID).Authority, w.job(w.sign("other").JobID).Authority
	row := w.store.state.authorities[broken]
	row.SealedKey = nil
	w.store.state.authorities[broken] = row
	w.Service = w.service()
	w.sleep(2 * time.Hour)
	changed, err := w.RefreshCRLs(ctx)
	if err == nil || !strings.Contains(errors.Unwrap(err).Error(), broken) {
		t.Errorf("%v", err)
	}
	if changed[good] == nil || changed[broken] != nil {
		t.Errorf("%d changed", len(changed))
	}
}

func TestAnotherIssuingKeyIsUsedWhenAskedFor(t *testing.T) {
	w := newWorld(t)
	w.IssuingKey = issue.P384
	w.put("build", KindStandard)
	_, chain := open(t, w.sign("build").Signature)
	if got := chain[0].SignatureAlgorithm.String(); got != "ECDSA-SHA384" {
		t.Errorf("leaf signed with %s", got)
	}
}
