package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/signing"
)

// broken opens nothing: another identity than the one that sealed.
type broken struct{ signing.Sealer }

func (broken) Open([]byte) ([]byte, error) { return nil, errors.New("wrong identity") }

// TestACRLThatIsDueAndCannotBeMadeIsSeen: in minutes, and when the one there
// is ends; the usual moment between mark and making is nothing to tell.
func TestACRLThatIsDueAndCannotBeMadeIsSeen(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	job := signs(t, n, "standard", "a")
	n.tend(t.Context())
	restarted := n.c.newService(n.service.Store, n.service.Intermediate)
	restarted.Sealer, restarted.Now, restarted.NewCRL = broken{}, n.service.Now, n.service.NewCRL
	whole := n.service
	n.service = restarted
	if err := n.service.RevokeSignature(t.Context(), caller(), signing.RevokeSignatureInput{JobID: job.ARN.ID, Reason: "x"}); err == nil {
		t.Fatal("revoked although the CRL could not be made")
	}
	n.tend(t.Context())
	if got := unready(n); len(got) != 0 {
		t.Errorf("at once: %v", got)
	}
	b.at = b.at.Add(crlGrace + time.Minute)
	n.tend(t.Context())
	if got := unready(n)["crls"]; !strings.Contains(got, "the CRL of "+job.Authority+" is due since") {
		t.Errorf("minutes later: %q", got)
	}
	n.service = whole
	whole.Sealer = restarted.Sealer
	b.at = b.at.Add(time.Minute)
	n.tend(t.Context()) // the key is in memory
	if got := unready(n)["crls"]; got != "" {
		t.Errorf("after it was made: %q", got)
	}

	mark(t, n, job.Authority)
	n.service = restarted
	n.due = dueCRLs{}
	b.at = b.at.Add(n.c.CRL.Life)
	if err := n.crlsFresh(t.Context()); err == nil {
		t.Error("a CRL that is due and has ended is not seen at the first look")
	}
}

// TestACRLThatNoCertificateNamesIsNotWaitedFor: those of the kind aws.
func TestACRLThatNoCertificateNamesIsNotWaitedFor(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	for kind, waited := range map[string]bool{"aws": false, "standard": true} {
		job := signs(t, n, kind, "a")
		mark(t, n, job.Authority)
		if _, err := n.crlState(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, got := n.due.since[job.Authority]; got != waited {
			t.Errorf("%s: waited for: %t", kind, got)
		}
	}
}

// mark has a CRL made anew, as a revocation does.
func mark(t *testing.T, n *node, id string) {
	t.Helper()
	if err := n.service.Store.Update(t.Context(), func(tx signing.Tx) error {
		a, err := tx.Authority(id)
		if err != nil {
			return err
		}
		a.CRLNext = time.Time{}
		return tx.SetAuthority(a)
	}); err != nil {
		t.Fatal(err)
	}
}

// TestAReplacedIntermediateWithoutALastCRLIsSeen: its directory was moved away
// by hand.
func TestAReplacedIntermediateWithoutALastCRLIsSeen(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, dir := n.service.Intermediate.Chain()[0], n.c.caFiles().dir
	signs(t, n, "standard", "a") // somebody needs that CRL
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	must := func(args ...string) {
		t.Helper()
		b.logs.Reset()
		if status := run(t.Context(), b.app, append(args, "--config", b.path())); status != exitOK {
			t.Fatal(b.logs)
		}
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	chain, key := b.ownCA(t, "theirs")
	must("ca", "import", "--chain", chain, "--key", key)
	b.at = b.at.Add(25 * time.Hour)
	n = b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := unready(n)["crls"]; !strings.Contains(got, "replaced intermediate") || !strings.Contains(got, "put that intermediate's files back") {
		t.Fatalf("%q", got)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	// As it says.
	if err := errors.Join(os.Rename(dir, dir+".new"), os.Rename(dir+".old", dir)); err != nil {
		t.Fatal(err)
	}
	must("ca", "import", "--replace", "--chain", chain, "--key", key)
	b.at = old.NotAfter.Add(-time.Hour).AddDate(-8, 0, 0)
	b.shuind(t, exitOK, "signing times go on", acceptClock...)
	n = b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := unready(n)["crls"]; got != "" {
		t.Error(got)
	}
}

// TestAReplacedIntermediateThatNobodyNeedsIsNotWaitedFor: nothing below it
// names its CRL, whether that was never made, is due, or has ended.
func TestAReplacedIntermediateThatNobodyNeedsIsNotWaitedFor(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		crl        func(*signing.Authority)
		want       string // of readiness at once; empty: all is well, also later
	}{
		{name: "nothing was signed"},
		{name: "nothing was signed and no CRL was made", crl: func(a *signing.Authority) { a.CRL, a.CRLNext = nil, time.Time{} }},
		{name: "only the kind aws", kind: "aws"},
		{name: "the kind standard, due", kind: "standard", crl: func(a *signing.Authority) { a.CRLNext = time.Time{} }, want: "its key is not here"},
		{name: "the kind standard, never made", kind: "standard", crl: func(a *signing.Authority) { a.CRL, a.CRLNext = nil, time.Time{} }, want: "its key is not here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			n := b.node(t)
			if err := n.begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.kind != "" {
				signs(t, n, c.kind, "a")
			}
			if c.crl != nil {
				if err := n.service.Store.Update(t.Context(), func(tx signing.Tx) error {
					row, err := intermediateRow(tx, n.service.Intermediate.Chain()[0])
					if err != nil {
						return err
					}
					c.crl(row)
					return tx.SetAuthority(*row)
				}); err != nil {
					t.Fatal(err)
				}
			}
			b.movedAway(t, n)
			n = b.node(t)
			if err := n.begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, wait := range []time.Duration{0, crlGrace + time.Minute, 200 * time.Hour} {
				b.at = b.at.Add(wait)
				n.tend(t.Context())
				got := unready(n)["crls"]
				if (got == "") != (c.want == "") || !strings.Contains(got, c.want) || strings.Contains(got, "the log says why") {
					t.Errorf("%s later: %q, want %q", wait, got, c.want)
				}
				if c.want != "" && !strings.Contains(got, putBack) {
					t.Errorf("%s later it does not say what to do: %q", wait, got)
				}
			}
		})
	}
}

// movedAway closes n, moves its CA away by hand and brings another.
func (b *bench) movedAway(t *testing.T, n *node) {
	t.Helper()
	dir := n.c.caFiles().dir
	if err := errors.Join(n.Close(), os.Rename(dir, dir+".old")); err != nil {
		t.Fatal(err)
	}
	chain, key := b.ownCA(t, "theirs")
	b.logs.Reset()
	if status := run(t.Context(), b.app, []string{"ca", "import", "--chain", chain, "--key", key, "--config", b.path()}); status != exitOK {
		t.Fatal(b.logs)
	}
}

// TestReadinessSendsNobodyToALogThatSaysNothing: a CRL that is due may also
// wait for an upkeep that does not come.
func TestReadinessSendsNobodyToALogThatSaysNothing(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	n.log = slog.New(slog.NewTextHandler(&logs, nil))
	job := signs(t, n, "standard", "a")
	n.tend(t.Context())
	mark(t, n, job.Authority)
	n.measure(t.Context())
	b.at = b.at.Add(crlGrace + time.Minute)
	if got := unready(n)["crls"]; !strings.Contains(got, "the upkeep has not come to it") || logs.Len() > 0 {
		t.Errorf("%q; the log: %s", got, &logs)
	}
	whole := n.service
	n.service = n.c.newService(whole.Store, whole.Intermediate)
	n.service.Sealer, n.service.Now, n.service.NewCRL = broken{}, whole.Now, whole.NewCRL
	b.at = b.at.Add(time.Minute)
	n.tend(t.Context())
	if got := unready(n)["crls"]; !strings.Contains(got, "the log says why") || !strings.Contains(logs.String(), "wrong identity") {
		t.Errorf("%q; the log: %s", got, &logs)
	}
}

// TestReadinessStoresNoTime: the clock's row is that of signatures.
func TestReadinessStoresNoTime(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	moved := 0
	if err := storeWritable(t.Context(), clockless{n.store, &moved}); err != nil || moved != 0 {
		t.Errorf("the clock of a fresh database was set %d times: %v", moved, err)
	}
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	signs(t, n, "aws", "a")
	if err := storeWritable(t.Context(), clockless{n.store, &moved}); err != nil || moved != 1 {
		t.Errorf("after a signature it was set %d times: %v", moved, err)
	}
}

// clockless counts how often the clock is set.
type clockless struct {
	signing.Store
	moved *int
}

func (c clockless) Update(ctx context.Context, f func(signing.Tx) error) error {
	return c.Store.Update(ctx, func(tx signing.Tx) error { return f(clocklessTx{tx, c.moved}) })
}

type clocklessTx struct {
	signing.Tx
	moved *int
}

func (c clocklessTx) SetClock(at time.Time) error { *c.moved++; return c.Tx.SetClock(at) }

// TestALogAcceptedWithoutItsCheckpointSaysSo: in the log itself and to the
// operator, once.
func TestALogAcceptedWithoutItsCheckpointSaysSo(t *testing.T) {
	b := newBench(t)
	c, err := b.loadConfig(b.path())
	if err != nil {
		t.Fatal(err)
	}
	o := c.storeOptions()
	if err := os.Remove(o.Checkpoint); err != nil {
		t.Fatal(err)
	}
	o.AcceptMissingCheckpoint = true
	var logs bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&logs, nil))
	for _, again := range []bool{false, true} {
		logs.Reset()
		n, err := b.newNode(t.Context(), c, o, logger)
		if err != nil {
			t.Fatal(err)
		}
		last, err := n.store.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leaf, _, _, err := n.store.ProveInclusion(t.Context(), last.Size-1)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := audit.ParseLeaf(leaf); err != nil || e.Kind != audit.CheckpointAcceptance || e.Action != "shuind:AcceptMissingCheckpoint" {
			t.Errorf("the newest entry is %s", leaf)
		}
		if warned := strings.Contains(logs.String(), "accepted without its checkpoint"); warned == again {
			t.Errorf("again: %t, warned: %t", again, warned)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestADatabaseThatIsDamagedHasAHint: most often it was put back beside the
// journal of another.
func TestADatabaseThatIsDamagedHasAHint(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(filepath.Join(b.dir, "data", "shuin.db"), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	b.logs.Reset()
	if status := run(t.Context(), b.app, []string{"log", "verify", "--config", b.path()}); status != exitFailed || !strings.Contains(b.logs.String(), "Hint: if it was put back from a backup") {
		t.Errorf("status %d: %s", status, b.logs)
	}
	if !damaged(11) || !damaged(11|1<<8) || damaged(5) {
		t.Error("another code is taken for damage")
	}
}

// TestACRLThatCannotBeMadeDoesNotKeepTheServerFromStarting: the others'
// signatures and the CRLs there are go on being served.
func TestACRLThatCannotBeMadeDoesNotKeepTheServerFromStarting(t *testing.T) {
	b := newBench(t)
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	job := signs(t, n, "standard", "a")
	n.tend(t.Context())
	restarted := n.c.newService(n.service.Store, n.service.Intermediate)
	restarted.Sealer, restarted.Now, restarted.NewCRL = broken{}, n.service.Now, n.service.NewCRL
	n.service = restarted
	b.at = b.at.Add(n.c.CRL.Refresh + time.Minute) // due, and its key cannot be opened
	if err := n.begin(t.Context()); err != nil {
		t.Fatalf("the server does not start: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(n.c.CRL.Directory, job.Authority+".crl")); err != nil || len(got) == 0 {
		t.Errorf("the CRL that is there is not published: %d bytes, %v", len(got), err)
	}
	b.at = b.at.Add(n.c.CRL.Life)
	n.tend(t.Context())
	if got := unready(n)["crls"]; !strings.Contains(got, job.Authority) {
		t.Errorf("readiness says %q", got)
	}
}
