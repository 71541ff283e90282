package signing

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestARevocationWaitsForAnotherNoLongerThanItsContext(t *testing.T) {
	for name, act := range map[string]func(*world, context.Context, Job) error{
		"a signature's": func(w *world, ctx context.Context, j Job) error {
			return w.RevokeSignature(ctx, admin(ours), RevokeSignatureInput{JobID: j.ARN.ID, Reason: "x"})
		},
		"a version's": func(w *world, ctx context.Context, j Job) error {
			return w.RevokeSigningProfile(ctx, admin(ours), RevokeSigningProfileInput{
				ProfileName: "build", ProfileVersion: j.Profile.Version, Reason: "x", EffectiveTime: worldStart})
		},
		"a refresh": func(w *world, ctx context.Context, _ Job) error { _, err := w.RefreshCRLs(ctx); return err },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put("build", KindStandard)
			job := w.job(w.sign("build").JobID)
			release, err := w.state.revoking.take(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for cause, end := range map[error]func() (context.Context, context.CancelFunc){
				context.Canceled: func() (context.Context, context.CancelFunc) {
					ctx, cancel := context.WithCancel(context.Background())
					go cancel()
					return ctx, cancel
				},
				context.DeadlineExceeded: func() (context.Context, context.CancelFunc) {
					return context.WithTimeout(context.Background(), time.Millisecond)
				},
			} {
				ctx, cancel := end()
				before := len(w.entries())
				err := act(w, ctx, job)
				cancel()
				wantFault(t, err, FaultUnavailable, "waited for another revocation", "try again")
				if !errors.Is(err, cause) {
					t.Errorf("the cause %v is lost: %v", cause, err)
				}
				if len(w.entries()) != before || w.job(job.ARN.ID).Revocation != nil {
					t.Error("it was done all the same")
				}
			}
			release()
			if err := act(w, context.Background(), job); err != nil {
				t.Errorf("with its turn: %v", err)
			}
		})
	}
}

func TestATurnIsNotTakenByAContextThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 100 { // a select picks at random
		var free turn
		if _, err := free.take(ctx); err == nil {
			t.Fatal("taken")
		}
	}
}
