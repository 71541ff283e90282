package signing

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// withoutVersion leaves the profile version of an issuing CA out of the store,
// as a database that was damaged or mended by hand may.
func (w *world) withoutVersion(id string) {
	row := w.store.state.authorities[id]
	row.Profile.Version = "gone123456"
	w.store.state.authorities[id] = row
	w.Service = w.service()
}

func TestAProfileVersionThatCannotBeReadHoldsUpNoCRL(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("standard", KindStandard)
	w.put("other", KindStandard)
	w.put("aws", KindAWS)
	lost, good, aws := w.job(w.sign("standard").JobID), w.job(w.sign("other").JobID), w.job(w.sign("aws").JobID)
	if err := w.RevokeSignature(ctx, admin(ours), RevokeSignatureInput{JobID: lost.ARN.ID, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.RefreshCRLs(ctx); err != nil {
		t.Fatal(err)
	}
	w.withoutVersion(lost.Authority)
	w.withoutVersion(aws.Authority)
	w.sleep(2 * time.Hour)
	changed, err := w.RefreshCRLs(ctx)
	wantFault(t, err, FaultUnavailable, "not every CRL")
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("the cause is lost: %v", err)
	}
	for _, a := range []string{lost.Authority, aws.Authority} { // both are told of
		if !strings.Contains(errors.Unwrap(err).Error(), "issuing CA "+a+": read its profile version") {
			t.Errorf("%s is not told of: %v", a, errors.Unwrap(err))
		}
	}
	// The CRL that certificates name is made all the same: its list needs no profile.
	for _, id := range []string{good.Authority, lost.Authority, w.intermediate()} {
		if changed[id] == nil {
			t.Errorf("the CRL of %s was not made", id)
		}
	}
	if len(changed) != 3 {
		t.Errorf("%d changed", len(changed))
	}
	if got := w.listed(lost.Authority); !slices.Equal(got, []string{lost.Serial}) {
		t.Errorf("listed %v", got)
	}
}

var errDamaged = errors.New("a page of the table of jobs is damaged")

// damaged is a store that cannot list jobs while broken, or those after the
// first page.
type damaged struct {
	Store
	broken, later bool
}

type damagedTx struct {
	Tx
	later bool
}

func (d damagedTx) Jobs(q JobQuery) ([]Job, error) {
	if d.later && q.After == "" {
		return d.Tx.Jobs(q)
	}
	return nil, errDamaged
}

func (d *damaged) View(ctx context.Context, f func(Tx) error) error {
	return d.Store.View(ctx, func(tx Tx) error {
		if d.broken {
			tx = damagedTx{tx, d.later}
		}
		return f(tx)
	})
}

func TestLeavesThatCannotBeListedHoldBackNoneThatAre(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	p := w.put("build", KindStandard)
	early, late := w.job(w.sign("build").JobID), w.job(w.sign("build").JobID)
	w.sleep(time.Minute)
	from, after := w.now(), w.job(w.sign("build").JobID)
	store := &damaged{Store: w.store, broken: true}
	w.Store = store
	id := early.Authority
	wantFault(t, w.revokeFrom("build", p.ProfileVersion, from), FaultUnavailable, "revocation is recorded")

	number := w.crl(id).Number
	err := w.RevokeSignature(ctx, admin(ours), RevokeSignatureInput{JobID: early.ARN.ID, Reason: "x"})
	wantFault(t, err, FaultUnavailable, "revocation is recorded")
	if !errors.Is(err, errDamaged) || !strings.Contains(errors.Unwrap(err).Error(), p.ProfileVersionARN) {
		t.Errorf("the cause is not told: %v", errors.Unwrap(err))
	}
	if got := w.listed(id); !slices.Equal(got, []string{early.Serial}) {
		t.Errorf("listed %v, want the signature that is revoked by itself", got)
	}
	if w.crl(id).Number.Int64() != number.Int64()+1 || !w.store.state.authorities[id].CRLNext.IsZero() {
		t.Errorf("number %s after %s, want one more, and the CRL due", w.crl(id).Number, number)
	}

	// A refresh tells of it, and makes no CRL for nothing: until the one there is gets old.
	for elapsed, anew := range map[time.Duration]bool{time.Minute: false, time.Hour: true} {
		before := w.crl(id).Number
		w.at = w.crl(id).ThisUpdate.Add(elapsed)
		if _, err := w.RefreshCRLs(ctx); !errors.Is(err, errDamaged) {
			t.Errorf("after %s: %v", elapsed, err)
		}
		if made := w.crl(id).Number.Cmp(before) > 0; made != anew {
			t.Errorf("after %s: made anew: %t", elapsed, made)
		}
	}

	store.broken = false
	if _, err := w.RefreshCRLs(ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{early.Serial, after.Serial}
	slices.Sort(want)
	if got := w.listed(id); !slices.Equal(got, want) || slices.Contains(got, late.Serial) {
		t.Errorf("listed %v, want %v", got, want)
	}
	if w.store.state.authorities[id].CRLNext.IsZero() {
		t.Error("it is due though all is listed")
	}
}

func TestTheLogCountsTheLeavesThatWereListedBeforeAFailure(t *testing.T) {
	w := newWorld(t)
	p := w.put("build", KindStandard)
	job := w.job(w.sign("build").JobID)
	const leaves = limits.RevokeBatch + 20
	for i := range leaves - 1 {
		j := job
		j.ARN.ID, j.Serial = fmt.Sprintf("job-%d", i), fmt.Sprintf("%04x", i+1)
		w.store.state.jobs[ours+"/"+j.ARN.ID] = j
		w.store.state.jobOrder = append(w.store.state.jobOrder, ours+"/"+j.ARN.ID)
	}
	store := &damaged{Store: w.store, broken: true, later: true}
	w.Store = store
	counted := func() (n int) {
		for _, e := range w.entries() {
			var some int
			if _, err := fmt.Sscanf(e.Detail, "%d certificates of the profile version listed", &some); err == nil {
				n += some
			}
		}
		return n
	}
	wantFault(t, w.revokeFrom("build", p.ProfileVersion, worldStart), FaultUnavailable, "revocation is recorded")
	if listed := len(w.listed(job.Authority)); listed != limits.RevokeBatch || counted() != listed {
		t.Errorf("%d are listed, the log says %d", listed, counted())
	}
	store.broken = false
	if _, err := w.RefreshCRLs(context.Background()); err != nil {
		t.Fatal(err)
	}
	if listed := len(w.listed(job.Authority)); listed != leaves || counted() != listed {
		t.Errorf("%d are listed, the log says %d", listed, counted())
	}
}

// behindHook runs f after each change of the store.
type behindHook struct {
	Store
	f func()
}

func (h *behindHook) Update(ctx context.Context, f func(Tx) error) error {
	err := h.Store.Update(ctx, f)
	h.f()
	return err
}

func (w *world) authorities() int {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return len(w.store.state.authorities)
}

func TestNobodyIsToldOfACRLAfterItsSuccessor(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.put("build", KindStandard)
	if _, err := w.RefreshCRLs(ctx); err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 10)
	w.NewCRL = func(id string, der []byte) {
		if list, err := x509.ParseRevocationList(der); err == nil && id != w.intermediate() {
			told <- list.Number.String()
		}
	}
	refreshed := make(chan error)
	var began atomic.Bool
	w.Store = &behindHook{Store: w.store, f: func() {
		if w.authorities() < 2 || began.Swap(true) {
			return
		}
		w.sleep(2 * time.Hour) // the issuing CA is stored
		go func() {
			_, err := w.RefreshCRLs(ctx)
			refreshed <- err
		}()
		time.Sleep(100 * time.Millisecond) // for it to do what it can
	}}
	_ = w.trySign()
	if err := <-refreshed; err != nil {
		t.Error(err)
	}
	for _, want := range []string{"1", "2"} {
		if got := <-told; got != want {
			t.Errorf("told of %s, want %s", got, want)
		}
	}
}

func TestACRLDatedAheadIsMadeAnewThoughTheRestCannotBeListed(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	p := w.put("build", KindStandard)
	id := w.job(w.sign("build").JobID).Authority
	w.sleep(20 * day)
	if _, err := w.RefreshCRLs(ctx); err != nil {
		t.Fatal(err)
	}
	w.restart(worldStart.Add(time.Minute))
	if _, _, err := w.accept("x"); err != nil {
		t.Fatal(err)
	}
	w.Store = &damaged{Store: w.store, broken: true}
	wantFault(t, w.revokeFrom("build", p.ProfileVersion, w.now()), FaultUnavailable, "revocation is recorded")
	if l := w.crl(id); l.ThisUpdate.After(w.at) {
		t.Errorf("the CRL is dated %v at %v", l.ThisUpdate, w.at)
	}
}

// heard is a store that looks at the contexts of its updates.
type heard struct {
	Store
	update func(ctx context.Context)
}

func (h *heard) Update(ctx context.Context, f func(Tx) error) error {
	h.update(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	return h.Store.Update(ctx, f)
}

func TestTheCRLOfARevokedSignatureIsMadeWithoutItsClient(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := newWorld(t)
	w.put("build", KindStandard)
	job := w.job(w.sign("build").JobID)
	updates, bounded := 0, false
	w.Store = &heard{Store: w.store, update: func(ctx context.Context) {
		if updates++; updates == 2 { // the revocation is durable
			cancel()
			_, bounded = ctx.Deadline()
		}
	}}
	if err := w.RevokeSignature(ctx, admin(ours), RevokeSignatureInput{JobID: job.ARN.ID, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	if got := w.listed(job.Authority); !slices.Equal(got, []string{job.Serial}) {
		t.Errorf("listed %v", got)
	}
	if updates != 2 || !bounded {
		t.Errorf("%d updates; the CRL's has a deadline: %t", updates, bounded)
	}
}

func TestCRLsThatWereMadeTogetherDoNotFallDueTogether(t *testing.T) {
	for _, every := range []time.Duration{0, 2 * time.Minute, 90*time.Minute + time.Millisecond} {
		w := newWorld(t)
		w.CRLEvery = every
		every := w.crlEvery()
		const cas = 600
		all := make([]Authority, cas)
		for i := range all {
			all[i] = Authority{
				ID: fmt.Sprintf("%032x", i), Profile: awsprofile.Profile{Name: "build"}, NotAfter: worldStart.Add(day),
				CRLNext: worldStart.Add(w.crlLife()).Truncate(time.Second),
			}
		}
		steps := int(every / time.Minute)
		turns := make([][]int, cas) // the minutes at which each fell due
		most := 0
		for m := 1; m <= 3*steps; m++ {
			w.sleep(every / time.Duration(steps))
			together := 0
			for i := range all {
				if w.due(all[i]) {
					all[i].CRLNext = w.now().Add(w.crlLife()).Truncate(time.Second)
					turns[i] = append(turns[i], m)
					together++
				}
			}
			most = max(most, together)
		}
		if mean := cas / steps; most > 2*mean+10 {
			t.Errorf("every %s: %d fell due in one minute, %d do on average", every, most, mean)
		}
		for i, at := range turns {
			if len(at) != 3 || at[0] > steps || at[1]-at[0] != steps || at[2]-at[1] != steps {
				t.Fatalf("every %s: %d fell due after minutes %v", every, i, at)
			}
		}
	}
}
