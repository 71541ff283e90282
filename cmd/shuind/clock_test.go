package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/audit"
)

// TestAServerStartsWithAContradictingClockWhenItIsAccepted: not before, and
// the command is for a server that stands.
func TestAServerStartsWithAContradictingClockWhenItIsAccepted(t *testing.T) {
	b := newBench(t)
	b.stdout = b.logs
	defer func() { b.stdout = io.Discard }()
	shuind := func(want int, says string, args ...string) {
		t.Helper()
		b.logs.Reset()
		if status := run(t.Context(), b.app, append(args, "--config", b.path())); status != want || !strings.Contains(b.logs.String(), says) {
			t.Errorf("%s: status %d, want %d: %s lacks %q", args, status, want, b.logs, says)
		}
	}
	accept := []string{"clock", "accept", "--reason", "the host started with another date"}
	right := b.at
	b.at = right.AddDate(0, 0, 20) // the clock is wrong
	n := b.node(t)
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"aws", "standard"} {
		signs(t, n, kind, "a")
	}
	shuind(exitFailed, "is in use by another shuind", accept...)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	b.at = right // and is put right
	shuind(exitFailed, "Hint: set this machine's clock right; or, if it is right now, accept it with shuind clock accept", "serve")
	shuind(exitFailed, `required flag(s) "reason" not set`, "clock", "accept")
	shuind(exitOK, "signing times go on from "+right.UTC().Format(time.RFC3339)+"; those up to", accept...)
	shuind(exitFailed, "nothing to accept", accept...)
	shuind(exitOK, "the log is whole", "log", "verify")

	n = b.node(t)
	if err := n.service.CheckStart(t.Context()); err != nil {
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
	if e, err := audit.ParseLeaf(leaf); err != nil || e.Kind != audit.ClockAcceptance || e.Principal != operator() || !strings.HasSuffix(e.Detail, "; the host started with another date") {
		t.Errorf("the newest entry is %s", leaf)
	}
	if err := n.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"aws", "standard"} {
		if job := signs(t, n, kind, "b"); !job.SignedAt.Equal(right) {
			t.Errorf("%s: signed at %s, want %s", kind, job.SignedAt, right)
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	b.at = right.AddDate(0, 0, 40)
	shuind(exitFailed, "this signer worked last at", "serve")
	shuind(exitOK, "signing times go on from "+b.at.UTC().Format(time.RFC3339), accept...)
	shuind(exitFailed, "nothing to accept", accept...)
}
