package signing

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
)

func otherIntermediate(t *testing.T, until time.Time) *issue.Authority {
	t.Helper()
	in, err := makeIntermediate(until)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func (w *world) revokeFrom(name, version string, from time.Time) error {
	return w.RevokeSigningProfile(context.Background(), admin(ours),
		RevokeSigningProfileInput{ProfileName: name, ProfileVersion: version, Reason: "lost", EffectiveTime: from})
}

func (w *world) listed(id string) []string {
	w.t.Helper()
	var out []string
	for _, e := range w.crl(id).RevokedCertificateEntries {
		out = append(out, fmt.Sprintf("%x", e.SerialNumber))
	}
	slices.Sort(out)
	return out
}

func TestAStandardSignatureEndsWithItsCA(t *testing.T) {
	end := worldStart.AddDate(5, 0, 0).Truncate(time.Second)
	for kind, want := range map[Kind]time.Time{
		KindStandard: end,
		KindAWS:      DefaultValidity.From(worldStart.Truncate(time.Second)),
	} {
		w := newWorld(t)
		w.Intermediate = otherIntermediate(t, end)
		w.put("build", kind)
		out := w.sign("build")
		e, _ := open(t, out.Signature)
		if j := w.job(out.JobID); !j.Expires.Equal(want) || !e.Expiry.Equal(want) {
			t.Errorf("%s: expires %s, envelope %s, want %s", kind, j.Expires, e.Expiry, want)
		}
	}
}

func TestALastCRLIsNotShortened(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	p := w.put("build", KindStandard)
	w.sign("build")
	if _, err := w.RefreshCRLs(ctx); err != nil {
		t.Fatal(err)
	}
	id := w.intermediate()
	row := w.store.state.authorities[id] // as the ceremony leaves it
	var err error
	row.CRLNumber++
	row.CRLNext = row.NotAfter
	if row.CRL, err = w.Intermediate.CRL(ctx, nil, big.NewInt(row.CRLNumber), w.now(), row.NotAfter); err != nil {
		t.Fatal(err)
	}
	w.store.state.authorities[id] = row
	w.restart(w.at) // put back, and in use again
	for range 31 * 24 {
		w.sleep(time.Hour)
		if changed, err := w.RefreshCRLs(ctx); err != nil || changed[id] == nil {
			t.Fatalf("it leaves no trace: %v", err)
		}
	}
	w.restart(w.at.Add(time.Minute))
	if err := w.refused(); err != nil {
		t.Errorf("it worked until a minute ago: %v", err)
	}
	if err := w.revokeFrom("build", p.ProfileVersion, worldStart); err != nil {
		t.Fatal(err)
	}
	if list := w.crl(id); !list.NextUpdate.Equal(row.NotAfter) || len(list.RevokedCertificateEntries) != 1 {
		t.Errorf("next update %s, want %s; %d entries", list.NextUpdate, row.NotAfter, len(list.RevokedCertificateEntries))
	}
}

func TestARevocationWhileACRLIsMadeIsNotLost(t *testing.T) {
	ctx := context.Background()
	for _, by := range []string{"recorded only", "listed too"} {
		w := newWorld(t)
		w.put("build", KindStandard)
		job := w.job(w.sign("build").JobID)
		if _, err := w.RefreshCRLs(ctx); err != nil {
			t.Fatal(err)
		}
		s := w.service()
		s.Store = &hook{Store: w.store, n: 1, f: func() { // another process, between the list and the CRL
			if by == "recorded only" { // and then it died
				w.store.fail = func(tx *memTx) error {
					w.store.fail = func(*memTx) error { w.store.fail = nil; return errDiskFull }
					return nil
				}
			}
			err := w.RevokeSignature(ctx, admin(ours), RevokeSignatureInput{JobID: job.ARN.ID, Reason: "x"})
			if (err != nil) != (by == "recorded only") {
				t.Error(err)
			}
		}}
		release, err := s.state.revoking.take(ctx)
		if err != nil {
			t.Fatal(err)
		}
		err = s.reissue(ctx, job.Authority, wholeList)
		release()
		if err != nil {
			t.Fatal(err)
		}
		if got := w.listed(job.Authority); !slices.Equal(got, []string{job.Serial}) {
			t.Errorf("%s: listed %v", by, got)
		}
	}
}

func TestAVersionWhoseIntermediateWasReplacedIsRevokedAsFarAsCanBe(t *testing.T) {
	for _, c := range []struct {
		kind   Kind
		others int // issuing CAs under the new intermediate
	}{{KindAWS, 0}, {KindAWS, 1}, {KindStandard, 0}, {KindStandard, 1}} {
		kind := c.kind
		t.Run(fmt.Sprintf("%s, %d", kind, c.others), func(t *testing.T) {
			w := newWorld(t)
			p := w.put("build", kind)
			before := w.job(w.sign("build").JobID)
			if _, err := w.RefreshCRLs(context.Background()); err != nil {
				t.Fatal(err)
			}
			old := w.Intermediate.Chain()[0]
			w.Service = w.service()
			w.Intermediate = otherIntermediate(t, worldStart.AddDate(25, 0, 0))
			for range c.others {
				w.sign("build")
			}
			err := w.revokeFrom("build", p.ProfileVersion, worldStart)
			if kind == KindAWS && err != nil {
				t.Fatal(err)
			}
			if kind == KindStandard {
				wantFault(t, err, FaultValidation, "is revoked", "listed in the CRL of its issuing CA", fmt.Sprintf("serial %x", old.SerialNumber))
				if got := w.listed(before.Authority); !slices.Equal(got, []string{before.Serial}) {
					t.Errorf("listed %v", got)
				}
			}
			if got := w.status(before); !slices.Contains(got, p.ProfileVersionARN) {
				t.Errorf("status %v", got)
			}
			if _, err := w.RefreshCRLs(context.Background()); err != nil {
				t.Error(err)
			}
			if got := w.listed(w.intermediate()); len(got) != c.others {
				t.Errorf("the new intermediate lists %v, want %d", got, c.others)
			}
		})
	}
}

func TestTheLeavesOfARevokedVersionAreListedThoughTheFirstTryEnded(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		commit int // that fails
		then   func(w *world, spare Job) error
	}{
		{"with the leaves, and the refresh goes on", 3, func(w *world, _ Job) error { return nil }},
		{"with the intermediate's CRL, and the refresh goes on", 2, func(w *world, _ Job) error { return nil }},
		{"with the leaves, and a signature is revoked", 3, func(w *world, spare Job) error {
			return w.RevokeSignature(ctx, admin(ours), RevokeSignatureInput{JobID: spare.ARN.ID, Reason: "x"})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.put("build", KindStandard)
			spare := w.job(w.sign("build").JobID)
			w.sleep(time.Minute)
			var want []string
			from := w.now()
			for range 3 {
				want = append(want, w.job(w.sign("build").JobID).Serial)
			}
			if _, err := w.RefreshCRLs(ctx); err != nil {
				t.Fatal(err)
			}
			commits := 0
			w.store.fail = func(*memTx) error {
				if commits++; commits >= c.commit {
					return errDiskFull
				}
				return nil
			}
			wantFault(t, w.revokeFrom("build", p.ProfileVersion, from), FaultUnavailable, "revocation is recorded")
			w.store.fail = nil
			w.Service = w.service()
			if err := c.then(w, spare); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(c.name, "signature") {
				want = append(want, spare.Serial)
			}
			if _, err := w.RefreshCRLs(ctx); err != nil {
				t.Fatal(err)
			}
			slices.Sort(want)
			if got := w.listed(spare.Authority); !slices.Equal(got, want) {
				t.Errorf("listed %v, want %v", got, want)
			}
			w.checkAuthorityListed(spare.Authority, from)
		})
	}
}

func TestRevokingAVersionGoesOnWithoutItsClient(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := newWorld(t)
	p := w.put("build", KindStandard)
	job := w.job(w.sign("build").JobID)
	w.RefreshCRLs(ctx)
	w.Store = &hook{Store: w.store, n: 2, f: cancel}
	err := w.RevokeSigningProfile(ctx, admin(ours), RevokeSigningProfileInput{ProfileName: "build", ProfileVersion: p.ProfileVersion, Reason: "x", EffectiveTime: worldStart})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.listed(job.Authority); !slices.Equal(got, []string{job.Serial}) {
		t.Errorf("listed %v", got)
	}
	if a, l := w.state.authorities[job.Profile], w.state.leaves[job.Profile]; a != nil || l != nil {
		t.Error("the issuing CA of a revoked version is kept for use")
	}
}

// A job may have been asked for a little before its signing time.
func TestLeavesAskedForBeforeTheEffectiveTimeAreFound(t *testing.T) {
	w := newWorld(t)
	p := w.put("build", KindStandard)
	first := w.job(w.sign("build").JobID)
	from := first.SignedAt
	k := ours + "/" + first.ARN.ID
	first.Created = from.Add(-10 * time.Second)
	w.store.state.jobs[k] = first
	for i := range limits.RevokeBatch {
		j := first
		j.ARN.ID, j.Serial = fmt.Sprintf("job-%d", i), fmt.Sprintf("%x", i+1)
		j.Created, j.SignedAt = from.Add(-5*time.Second), from.Add(-5*time.Second)
		w.store.state.jobs[ours+"/"+j.ARN.ID] = j
		w.store.state.jobOrder = append(w.store.state.jobOrder, ours+"/"+j.ARN.ID)
	}
	if err := w.revokeFrom("build", p.ProfileVersion, from); err != nil {
		t.Fatal(err)
	}
	if got := w.listed(first.Authority); !slices.Equal(got, []string{first.Serial}) {
		t.Errorf("listed %v", got)
	}
}

func TestNoCRLsAreMadeOfCAsThatNoCertificateNames(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	p := w.put("build", KindAWS)
	id := w.job(w.sign("build").JobID).Authority
	for range 3 {
		changed, err := w.RefreshCRLs(ctx)
		if err != nil || len(changed) != 1 || changed[w.intermediate()] == nil {
			t.Errorf("%d changed, %v", len(changed), err)
		}
		w.sleep(25 * time.Hour)
		w.Service = w.service()
	}
	if err := w.revokeFrom("build", p.ProfileVersion, worldStart); err != nil {
		t.Fatal(err)
	}
	w.RefreshCRLs(ctx)
	_, _, err := w.CRL(ctx, id)
	wantFault(t, err, FaultNotFound, "no CRL")
}

func TestARevokedIssuingCAIssuesNoMore(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindStandard)
	old := w.job(w.sign("build").JobID).Authority
	row := w.store.state.authorities[old]
	row.Revoked = &AuthorityRevocation{At: w.now(), InvalidityDate: w.now()}
	w.store.state.authorities[old] = row
	w.Service = w.service()
	if w.job(w.sign("build").JobID).Authority == old {
		t.Error("it issued")
	}
}

func TestACertificateIsUsedInItsTimeOnly(t *testing.T) {
	from, until := testIntermediate(t).Validity()
	l := &signer{}
	l.from, l.until = spanOf([]*x509.Certificate{{NotBefore: from.Add(time.Hour), NotAfter: from.Add(day)}, {NotBefore: from, NotAfter: until}})
	for at, ok := range map[time.Duration]bool{time.Hour - time.Second: false, time.Hour: true, day: true, day + time.Second: false} {
		if got := l.check(from.Add(at)); (got == nil) != ok {
			t.Errorf("at %s: %v", at, got)
		}
	}
	// Of a chain that ends before it, and began after it.
	l.from, l.until = spanOf([]*x509.Certificate{{NotBefore: from.Add(-day), NotAfter: until.Add(day)}, {NotBefore: from, NotAfter: until}})
	for at, ok := range map[time.Time]bool{from.Add(-time.Second): false, from: true, until: true, until.Add(time.Second): false} {
		if got := l.check(at); (got == nil) != ok {
			t.Errorf("at %s: %v", at, got)
		}
	}
}

func TestAClockSetBackWhileASignatureIsMadeStopsIt(t *testing.T) {
	w := newWorld(t)
	w.put("build", KindAWS)
	w.state.makeKey = func(k issue.KeyType) (crypto.Signer, error) {
		if k == issue.P384 {
			w.sleep(-2 * time.Minute)
		}
		return issue.NewKey(k)
	}
	_, err := w.SignPayload(context.Background(), admin(ours), signInput("build"))
	wantFault(t, err, FaultUnavailable, "longer than it may")
	if w.jobs() != 0 {
		t.Error("it signed")
	}
}
