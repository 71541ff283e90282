package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/signing"
)

var acceptClock = []string{"clock", "accept", "--reason", "the host started with another date"}

// shuind runs a command for a moment: a server ends by itself.
func (b *bench) shuind(t *testing.T, want int, says string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	b.logs.Reset()
	b.stdout = b.logs
	defer func() { b.stdout = io.Discard }()
	if status := run(ctx, b.app, append(args, "--config", b.path())); status != want || !strings.Contains(b.logs.String(), says) {
		t.Errorf("%s: status %d, want %d: %s lacks %q", args, status, want, b.logs, says)
	}
}

// wrongClock is a bench whose signer worked and signed with a clock that was 20
// days ahead, and that is right now.
func wrongClock(t *testing.T) (b *bench, standard *signing.Job) {
	t.Helper()
	b = newBench(t)
	right := b.at
	b.at = right.AddDate(0, 0, 20)
	n := b.node(t)
	must(t, n.begin(t.Context()))
	signs(t, n, "aws", "a")
	standard = signs(t, n, "standard", "a")
	b.shuind(t, exitFailed, "is in use by another shuind", acceptClock...)
	must(t, n.Close())
	b.at = right
	return b, standard
}

// TestARefusedClockBarsSigningAndCRLsAndNothingElse: verifiers are answered.
func TestARefusedClockBarsSigningAndCRLsAndNothingElse(t *testing.T) {
	b, job := wrongClock(t)
	b.shuind(t, exitOK, "the clock is refused", "serve")
	if lines := strings.Count(b.logs.String(), "the signer's clock says"); lines != 1 {
		t.Errorf("it is told %d times: %s", lines, b.logs)
	}
	var logs bytes.Buffer
	n := b.node(t)
	n.log = slog.New(slog.NewTextHandler(&logs, nil))
	must(t, n.begin(t.Context()))
	n.tend(t.Context())
	if lines := strings.Count(logs.String(), "\n"); lines != 1 || !strings.Contains(logs.String(), "newest signing time given out") {
		t.Errorf("%d lines: %s", lines, &logs)
	}
	if got := unready(n)["clock"]; !strings.Contains(got, "newest signing time given out") {
		t.Errorf("readiness says %q", got)
	}
	k, err := n.served.find(t.Context(), job.Authority)
	if err != nil {
		t.Fatalf("the CRL that is there is not served: %v", err)
	}
	if err := n.service.RevokeSignature(t.Context(), caller(), signing.RevokeSignatureInput{JobID: job.ARN.ID, Reason: "x"}); err == nil || !strings.Contains(err.Error(), "the revocation is recorded") {
		t.Errorf("a revocation: %v", err)
	}
	out, err := n.service.GetRevocationStatus(t.Context(), caller(), signing.GetRevocationStatusInput{
		PlatformID: "Notation-OCI-SHA384-ECDSA", JobARN: job.ARN.String(), ProfileVersionARN: job.Profile.String(),
		SignatureTimestamp: job.SignedAt, CertificateHashes: job.CertificateIDs,
	})
	if err != nil || len(out.RevokedEntities) == 0 {
		t.Errorf("the revocation status: %v, %v", out, err)
	}
	if now, err := n.served.find(t.Context(), job.Authority); err != nil || now.number.Cmp(k.number) != 0 {
		t.Errorf("a CRL was made: %v", err)
	}
	b.at = b.at.AddDate(0, 0, 20).Add(time.Minute)
	n.tend(t.Context())
	if now, err := n.served.find(t.Context(), job.Authority); err != nil || now.number.Cmp(k.number) <= 0 || !strings.Contains(logs.String(), "not refused any more") {
		t.Errorf("no CRL was made when the clock came to it: %v; %s", err, &logs)
	}
}

// TestAnAcceptedClockSigns: the command is for a server that stands.
func TestAnAcceptedClockSigns(t *testing.T) {
	b, _ := wrongClock(t)
	right := b.at
	b.shuind(t, exitFailed, `required flag(s) "reason" not set`, "clock", "accept")
	b.shuind(t, exitOK, "signing times go on from "+right.UTC().Format(time.RFC3339)+"; those up to", acceptClock...)
	b.shuind(t, exitFailed, "nothing to accept", acceptClock...)
	b.shuind(t, exitOK, "the log is whole", "log", "verify")

	n := b.node(t)
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
	must(t, n.begin(t.Context()))
	for _, kind := range []string{"aws", "standard"} {
		if job := signs(t, n, kind, "b"); !job.SignedAt.Equal(right) {
			t.Errorf("%s: signed at %s, want %s", kind, job.SignedAt, right)
		}
	}
	if got := unready(n); len(got) != 0 {
		t.Errorf("not ready: %v", got)
	}
	must(t, n.Close())

	b.at = right.AddDate(0, 0, 40)
	b.shuind(t, exitOK, "this signer worked last at", "serve")
	b.shuind(t, exitOK, "signing times go on from "+b.at.UTC().Format(time.RFC3339), acceptClock...)
	b.shuind(t, exitFailed, "nothing to accept", acceptClock...)
}

// TestNoCAIsMadeByARefusedClock: a replacement cannot be undone.
func TestNoCAIsMadeByARefusedClock(t *testing.T) {
	b, _ := wrongClock(t)
	chain, key := b.ownCA(t, "own")
	root := []string{"--root-identity", filepath.Join(b.dir, "identity.txt")}
	for _, args := range [][]string{
		append([]string{"ca", "intermediate", "new"}, root...),
		append([]string{"ca", "root", "crl"}, root...),
		{"ca", "import", "--replace", "--chain", chain, "--key", key},
	} {
		b.shuind(t, exitFailed, "Hint: set this machine's clock right; or, if it is right now, accept it with shuind clock accept", args...)
	}
	before := b.caFiles(t).inUse()
	b.shuind(t, exitOK, "signing times go on", acceptClock...)
	b.shuind(t, exitOK, "", append([]string{"ca", "intermediate", "new"}, root...)...)
	if before == nil || before.Equal(b.caFiles(t).inUse()) {
		t.Error("a refused replacement did something, or this one nothing")
	}
}
