package signing

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
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
	for _, id := range []string{good.Authority, lost.Authority, intermediateID(w.Intermediate)} {
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
